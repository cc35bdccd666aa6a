"""Readers of images, masks, lists and class files."""
