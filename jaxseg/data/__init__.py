"""From published files to batches of uint8, without TensorFlow and without a JAX backend."""
