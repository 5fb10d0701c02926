"""One run over heads with exact truth and over photos, for any number of methods, and the page that tells of it."""
