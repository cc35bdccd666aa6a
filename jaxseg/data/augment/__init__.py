"""Training transforms of an image and its label, on the host."""
