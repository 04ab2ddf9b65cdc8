"""Data sources, and their encoding to index maps."""
