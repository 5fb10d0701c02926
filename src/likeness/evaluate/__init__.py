"""Measures: they score meshes, landmarks and boxes, from whatever method."""
