"""`python -m jaxseg.data.doctor`: the same as `jaxseg doctor`."""

import sys

from jaxseg.cli import data_programs

if __name__ == "__main__":
    data_programs.doctor(sys.argv[1:])
