"""Inspects a data set before training: `python -m jaxseg.data.doctor`."""
