"""Systems of the papers as they were trained: a compact graph each, and what makes a face of its answer."""
