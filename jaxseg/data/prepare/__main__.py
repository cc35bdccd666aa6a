"""`python -m jaxseg.data.prepare`: the same as `jaxseg prepare`."""

import sys

from jaxseg.cli import data_programs

if __name__ == "__main__":
    data_programs.prepare(sys.argv[1:])
