"""Networks that tell people apart, behind one interface."""
