"""What jaxseg.main says to each of many command lines: JSON lists in, [status, message] lists out.

    python tests/helpers/programs/said.py < commands.json > said.json

Each is run in a process of its own, forked after the imports, which take most of the time.
"""

import json
import os
import sys
import tempfile
import traceback

from absl import app

from jaxseg import evaluate, main, predict, summary, train  # noqa: F401 - before the forks
from jaxseg.cli import command_line


def said(arguments: list[str]) -> tuple[int, str]:
    """(exit status, standard error) of `python -m jaxseg.main ARGUMENTS`."""
    with tempfile.TemporaryFile("w+") as heard:
        child = os.fork()
        if not child:
            os.dup2(heard.fileno(), 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            status = 1
            sys.argv = ["jaxseg.main", *arguments]
            try:
                app.run(main.main, argv=sys.argv, flags_parser=command_line.parse)
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
            except BaseException:
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(status)
        _, ended = os.waitpid(child, 0)
        heard.seek(0)
        return os.waitstatus_to_exitcode(ended), heard.read()


if __name__ == "__main__":
    json.dump([said(one) for one in json.load(sys.stdin)], sys.stdout)
