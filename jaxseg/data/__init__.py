"""From published files to batches of uint8: never imports TensorFlow, never starts a JAX backend."""
