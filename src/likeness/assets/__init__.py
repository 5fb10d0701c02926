"""Face models and other fixed data as arrays, in our units and axes."""
