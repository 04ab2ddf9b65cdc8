"""What a person may ask of single pixels: wishes (logit biases), kept pixels, and how the network sees the canvas."""
