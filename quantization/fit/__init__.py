"""Palettes fitted to pictures: a method is a file."""
