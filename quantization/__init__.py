"""Colors, palettes, quantizers, indexed images; imports nothing of the other rooms."""
