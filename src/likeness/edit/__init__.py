"""Faces that are there already, changed."""
