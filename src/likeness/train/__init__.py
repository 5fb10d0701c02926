"""The training loop, which knows stages and terms and nothing about faces, and what is done with trained weights: export, blends."""
