"""Analysis by synthesis: all that forms a photo, found through the renderer."""
