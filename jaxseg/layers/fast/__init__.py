"""Faster forms of the layers, equal to the plain ones, and the choice between them."""
