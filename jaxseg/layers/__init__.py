"""What more than one paper builds from: convolution, normalisation, pooling, resizing, ASPP."""
