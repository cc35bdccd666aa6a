"""The fields of an experiment: traversal, storage and valid values."""
