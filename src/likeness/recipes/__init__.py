"""One trained system a file."""
