"""A data set examined before it is trained on: `python -m jaxseg.data.doctor`."""
