"""Layers that more than one paper uses: convolution, normalisation, pooling, resizing, ASPP."""
