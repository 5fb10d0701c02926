"""One face from several photos of a person."""
