"""Converts a config to plain JSON and back.

A run folder stores its config in this form, and needs nothing else to be evaluated, resumed or used
for prediction. A stored config is data: reading it imports only modules of this package, and
creates only their configs (docs/safety.md).
"""

import dataclasses
import importlib
import logging
import re
import site
import sys
import sysconfig
from collections.abc import Mapping
from typing import Any

import flax.linen as nn

from jaxseg import renamed
from jaxseg.settings.tree import fields_of, is_part

_log = logging.getLogger(__name__)

# The modules of this package whose classes a stored config may name, and that are imported for it.
_ROOMS = re.compile(
    r"jaxseg\.(config|pixels|data\.augment\.(settings|instance_settings))"
    r"|jaxseg\.(models|backbones|layers)(\.[A-Za-z0-9_]+)*"
)
_DEEPEST = 32  # parts within parts; an experiment has about six


def to_dict(node: Any) -> Any:
    """A config tree as JSON values; each dataclass names its class under "class"."""
    if is_part(node):
        cls = type(node)
        values = {f.name: to_dict(getattr(node, f.name)) for f in fields_of(node)}
        return {"class": f"{cls.__module__}:{cls.__qualname__}"} | values
    if isinstance(node, tuple | list):
        return [to_dict(value) for value in node]
    if node is None or isinstance(node, bool | int | float | str):
        return node
    raise TypeError(
        f"{node!r} cannot be part of a config: only numbers, strings, tuples and dataclasses can"
    )


def from_dict(values: Any) -> Any:
    """The inverse of `to_dict`.

    Classes and fields of older versions are renamed (`renamed`). A field that an older config lacks
    gets its default, and a warning names it.

    Raises:
      ValueError: names a class or field that this version of the code does not have, a class that a
        config may not name, or a missing field without a default.
    """
    return _from_dict(values, 0)


def _from_dict(values: Any, depth: int, default: Any = dataclasses.MISSING) -> Any:
    """`default` is the part that the owner has by default; its fields replace missing ones."""
    if depth > _DEEPEST:
        raise ValueError(f"its parts are nested more than {_DEEPEST} deep")
    if isinstance(values, list):
        return tuple(_from_dict(value, depth + 1) for value in values)
    if not isinstance(values, Mapping):
        return values
    values = renamed.part(values)
    cls = _class_of(values)
    fields = {f.name: f for f in fields_of(cls)}
    given = {
        name: _from_dict(value, depth + 1, fields[name].default if name in fields else None)
        for name, value in values.items()
        if name != "class"
    }
    if unknown := sorted(set(given) - set(fields)):
        raise ValueError(
            f"{cls.__name__} has no field {', '.join(unknown)}: "
            "the config was written by another version of jaxseg"
        )
    filled = {
        name: _default(cls, field, default) for name, field in fields.items() if name not in given
    }
    for name, value in given.items():
        kind = _part(fields[name].type)
        if kind is not None and not isinstance(value, kind):
            raise ValueError(f"{cls.__name__}.{name} is {str(value)[:60]!r}, not a {kind.__name__}")
    return cls(**filled, **given)


def _default(cls: type, field: dataclasses.Field, owner: Any) -> Any:
    """The value of a field that a stored config lacks; logs a warning.

    Args:
      cls: the class that has the field.
      field: the missing field.
      owner: the part of this class in the default value of its owner.

    Raises:
      ValueError: the field has no default.
    """
    value = field.default
    if type(owner) is cls:
        value = getattr(owner, field.name)
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if value is dataclasses.MISSING:
        raise ValueError(
            f"{cls.__name__} needs the field {field.name}, which the config lacks: "
            "it was written by another version of jaxseg"
        )
    if field.name in renamed.ADDED.get(f"{cls.__module__}:{cls.__qualname__}", ()):
        return value
    _log.warning(
        "the config, of an older version, lacks %s.%s: the default %.60r is used",
        *(cls.__name__, field.name, value),
    )
    return value


def _part(kind: Any) -> type | None:
    """The annotated type if it is a part, a dataclass or a module; None for plain values."""
    if isinstance(kind, type) and (dataclasses.is_dataclass(kind) or issubclass(kind, nn.Module)):
        return kind
    return None


def _class_of(values: Mapping[str, Any]) -> type:
    """The dataclass that a stored part names."""
    named = values.get("class")
    if not isinstance(named, str) or not re.fullmatch(r"[\w.]+:[\w.]+", named):
        raise ValueError(
            f"a part does not name its class as MODULE:NAME: {str(dict(values))[:80]!r}"
        )
    module, _, name = named.partition(":")
    if _ROOMS.fullmatch(module):
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ValueError(f"this code has no {module}.{name}: {error}") from error
    elif module not in sys.modules:
        raise ValueError(
            f"the class {named[:200]!r} is not in this package, and a stored config imports no "
            "other code: give --config=FILE with the experiment that defines it"
        )
    cls = vars(sys.modules[module]).get(name)
    if cls is None:
        hint = "" if _ROOMS.fullmatch(module) else ": give --config=FILE, which defines it"
        raise ValueError(f"this code has no {module}.{name}{hint}")
    if not _may_be_named(cls, module):
        raise ValueError(f"{module}.{name} is not a part of a config")
    return cls


def foreign_classes(node: Any) -> list[str]:
    """The classes in a config tree that are not in this package; a stored one may not name them."""
    if isinstance(node, tuple | list):
        return [name for value in node for name in foreign_classes(value)]
    if not is_part(node):
        return []
    cls = type(node)
    own = [] if _ROOMS.fullmatch(cls.__module__) else [f"{cls.__module__}:{cls.__qualname__}"]
    return own + [n for f in fields_of(node) for n in foreign_classes(getattr(node, f.name))]


def _may_be_named(cls: Any, module: str) -> bool:
    """Whether a config may hold instances of a class from a loaded module.

    Creating a linen module has no side effects. Other dataclasses must be from this package or from
    an experiment that is already loaded, not from Python or installed packages.
    """
    if not isinstance(cls, type) or not dataclasses.is_dataclass(cls) or cls.__module__ != module:
        return False
    if _ROOMS.fullmatch(module) or issubclass(cls, nn.Module):
        return True
    if module.partition(".")[0] in ("jaxseg", "launch"):
        return False
    file = getattr(sys.modules[module], "__file__", None)
    installed = (sysconfig.get_path("stdlib"), *site.getsitepackages(), site.getusersitepackages())
    return file is not None and not file.startswith(installed)
