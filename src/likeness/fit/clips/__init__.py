"""A face followed through a clip."""
