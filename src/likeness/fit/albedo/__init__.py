"""Learning the albedo model from portraits."""
