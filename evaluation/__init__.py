"""Metrics of models and of samples."""
