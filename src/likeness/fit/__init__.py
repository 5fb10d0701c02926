"""Analysis by synthesis."""
