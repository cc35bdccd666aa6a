"""The checker of shapes and types that the tests put around the annotated functions.

`tests/conftest.py` installs it before anything of jaxseg is imported; a command or a training run
has none of it.
"""

import typing

from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

from jaxseg import types

ROOMS = ("losses", "metrics", "postprocess", "inference", "layers")

_checker = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as in PEP 484


def checked(function):
    """The function with its annotations checked, if it is a public one of a module or a class.

    Functions within others are made at each call; checking them would cost more than the call. What
    a `make_...` returns is made once, so it is checked.
    beartype knows what `Self` is only where it decorates the whole class.
    """
    names = function.__qualname__.split(".")
    private = any(name.startswith("_") and not name.endswith("__") for name in names)
    own_class = typing.Self in function.__annotations__.values()
    inner = "<locals>" in names and not names[-3].startswith("make_")
    return function if private or own_class or inner else _checker(function)


def check_rooms() -> None:
    """From now on, modules of the annotated rooms are imported with their annotations checked.

    What takes an array of JAX takes one of NumPy too, and tests give both.
    """
    types.Array = types.ArrayLike
    names = [f"jaxseg.{room}" for room in (*ROOMS, "pixels")]
    install_import_hook(names, "tests.helpers.shapes.checked")
