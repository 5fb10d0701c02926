"""From a face, a camera and a light to a picture."""
