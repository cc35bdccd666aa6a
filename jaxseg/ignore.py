"""The train id of void; separate from `jaxseg.types`, so that reading data does not import JAX."""

IGNORE = 255  # masked out of every loss and every count
