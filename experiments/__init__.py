"""Experiments: one folder per paper, one file per data set or table."""
