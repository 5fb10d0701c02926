"""Analysis by synthesis: codes from landmarks."""
