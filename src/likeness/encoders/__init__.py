"""Networks from a crop to codes."""
