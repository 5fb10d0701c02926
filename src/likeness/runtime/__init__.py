"""The product: photo in, 3D face out, without PyTorch."""
