"""The training loop; it knows stages and terms, nothing about faces."""
