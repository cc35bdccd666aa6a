"""An experiment as a tree: dataclasses and linen modules, whose fields a flag can set."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import flax.linen as nn


def fields_of(node: Any) -> list[dataclasses.Field]:
    """The settable fields of a dataclass or linen module (or its class), without linen's own."""
    cls = node if isinstance(node, type) else type(node)
    hidden = {"parent", "name"} if issubclass(cls, nn.Module) else set()
    return [f for f in dataclasses.fields(node) if f.init and f.name not in hidden]


def is_part(value: Any) -> bool:
    """Whether a value is a part of an experiment that has fields itself."""
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def unshared(node: Any) -> Any:
    """A copy of a tree without shared parts."""
    if not is_part(node):
        return node
    parts = {f.name: unshared(getattr(node, f.name)) for f in fields_of(node)}
    if isinstance(node, nn.Module):
        return node.clone(**parts)
    return dataclasses.replace(node, **parts)


def with_fields(module: nn.Module, values: Mapping[str, Any]) -> nn.Module:
    """The module with fields set in it and in all nested modules that have them.

    with_fields(model, {"compute": PLAIN}) is the model with plain forms throughout.
    """
    changes: dict[str, Any] = {}
    for field in fields_of(module):
        value = getattr(module, field.name)
        if field.name in values:
            changes[field.name] = values[field.name]
        elif isinstance(value, nn.Module):
            changes[field.name] = with_fields(value, values)
    return module.clone(**changes)


def flatten(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each field of a config tree as ("optim.learning_rate", 0.007), classes included."""
    if not is_part(node):
        yield prefix, node
        return
    if isinstance(node, nn.Module):
        yield f"{prefix}.class" if prefix else "class", type(node).__name__
    for field in fields_of(node):
        path = f"{prefix}.{field.name}" if prefix else field.name
        yield from flatten(getattr(node, field.name), path)
