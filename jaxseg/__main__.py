"""`python -m jaxseg COMMAND`: the console command `jaxseg`, in a checkout that is not installed."""

import sys

from jaxseg.cli import commands

if __name__ == "__main__":
    sys.exit(commands.main())
