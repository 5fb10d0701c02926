"""Photos, renders and composed scenes as training samples."""
