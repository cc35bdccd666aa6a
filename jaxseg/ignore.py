"""The train id of void, apart from `jaxseg.types`, so that reading data need not import JAX."""

IGNORE = 255  # kept out of every loss and every count by a mask
