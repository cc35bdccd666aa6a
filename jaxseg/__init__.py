"""Semantic segmentation research in JAX and Flax."""
