"""Pure functions on points, meshes and cameras, for numpy arrays and torch tensors alike."""
