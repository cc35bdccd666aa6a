"""From published files to batches of uint8; no TensorFlow, no JAX backend."""
