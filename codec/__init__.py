"""Pictures to bytes and back, by a model's probabilities."""
