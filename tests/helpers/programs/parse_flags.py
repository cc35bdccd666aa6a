"""The flags and overrides of one `jaxseg.main` command, taken as the program takes them.

    python tests/helpers/programs/parse_flags.py --config=experiments/NAME.py ...

Exit status 0: nothing in them is refused before data, weights and devices are met.
"""

import sys

from jaxseg import main
from jaxseg.checks import experiment as checks
from jaxseg.cli import command_line, mode_flags

if __name__ == "__main__":
    rest = command_line.parse(sys.argv)
    if len(rest) > 1:
        sys.exit(f"{rest[1]!r} is not a flag")
    faults, _ = checks.examine(main._experiment(), mode_flags.MODE.value)
    sys.exit("\n".join(mode_flags.strangers() + faults) or None)
