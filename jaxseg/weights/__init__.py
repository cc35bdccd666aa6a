"""Loads tensors of other frameworks, by name, into the variables of a model."""
