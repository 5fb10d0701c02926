"""Face models: from codes to a face."""
