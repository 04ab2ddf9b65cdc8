"""How good a model is: its bits per pixel, and the features, colors and copies of what it draws."""
