"""From a photo file to an upright crop of a face, and the exact way back."""
