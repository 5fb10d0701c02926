"""Loss terms: pure functions of features, landmarks and renderings."""
