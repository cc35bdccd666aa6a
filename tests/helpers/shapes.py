"""The checker of shapes and types that the tests put around the annotated functions.

`tests/conftest.py` installs it before anything of jaxseg is imported; a command or a training run
has none of it.
"""

import functools
import inspect
import typing

import jaxtyping
from beartype import BeartypeConf, beartype

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


def _has_arrays(hint) -> bool:
    """Whether an array with a shape stands anywhere in the annotation."""
    if isinstance(hint, str):  # a name that is defined later: unknown, so looked at with its shapes
        return True
    if inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(_has_arrays(part) for part in typing.get_args(hint) if not isinstance(part, str))


def _with_shapes_where_there_are_any(*, typechecker):
    """As `jaxtyping.jaxtyped`, whose binding of names to sizes would cost more than all the rest.

    A function without an array is checked by beartype alone, and one that `checked` leaves as it is
    is left so.
    """
    bound = _jaxtyped(typechecker=typechecker)

    def decorate(function):
        if not inspect.isfunction(function):
            return bound(function)
        if checked(function) is function:
            return function
        if any(map(_has_arrays, function.__annotations__.values())):
            return bound(function)
        types_alone = checked(function)

        @functools.wraps(function)
        def either(*args, **kwargs):
            disabled = jaxtyping.config.jaxtyping_disable  # by the fixture `unchecked`
            return (function if disabled else types_alone)(*args, **kwargs)

        return either

    return decorate


_jaxtyped = jaxtyping.jaxtyped


def check_rooms() -> None:
    """From now on, modules of the annotated rooms are imported with their annotations checked.

    What takes an array of JAX takes one of NumPy too, and tests give both.
    """
    jaxtyping.jaxtyped = _with_shapes_where_there_are_any  # the name that the hook writes
    types.Array = types.ArrayLike
    names = [f"jaxseg.{room}" for room in (*ROOMS, "pixels")]
    jaxtyping.install_import_hook(names, "tests.helpers.shapes.checked")
