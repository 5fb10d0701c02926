"""A face model of one person."""
