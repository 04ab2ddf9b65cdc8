"""Palettes: what one is, its files, the named ones, their order, which fits best."""
