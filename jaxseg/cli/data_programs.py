"""Entry points and flags of the data set commands, `jaxseg prepare` and `jaxseg doctor`.

They are separate from the programs themselves, which do not depend on the command line's help.
"""

from collections.abc import Sequence
from typing import NoReturn

from jaxseg.cli import program

_FILES = ("jaxseg.data.prepare.named_files", "jaxseg.data.readers.image_limit")


def prepare(arguments: Sequence[str]) -> NoReturn:
    """Prepares a data set."""
    from jaxseg.data.prepare import prepare as module

    program.start(
        program.Program(
            name="jaxseg prepare",
            usage="--name=SET [--manual_dir=FOLDER]",
            about=module.__doc__ or "",
            main=module.main,
            own=program.defined_in(*_FILES, module.__name__),
        ),
        arguments,
    )


def doctor(arguments: Sequence[str]) -> NoReturn:
    """Checks a data set."""
    from jaxseg.data.doctor import doctor as module

    program.start(
        program.Program(
            name="jaxseg doctor",
            usage="--name=SET [--manual_dir=FOLDER]",
            about=module.__doc__ or "",
            main=module.main,
            own=program.defined_in(*_FILES, module.__name__),
        ),
        arguments,
    )
