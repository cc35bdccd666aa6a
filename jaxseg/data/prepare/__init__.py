"""Prepares a data set from published files: `python -m jaxseg.data.prepare`."""
