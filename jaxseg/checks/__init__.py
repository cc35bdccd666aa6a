"""Validates the settings of an experiment, independently of data, weights and devices."""
