"""From published files to a prepared set: `python -m jaxseg.data.prepare`."""
