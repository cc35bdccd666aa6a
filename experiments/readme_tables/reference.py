"""docs/reference/{flags,fields}.md: every command with its flags, and every field with its comment.

    python -m experiments.readme_tables.reference

Flags are described by their help and fields by the comment at their definition, as `jaxseg COMMAND
--help` prints them.
"""

import contextlib
import dataclasses
import importlib
import inspect
import io
import multiprocessing
import os
import pkgutil
import sys
from collections.abc import Iterator
from typing import Any

import flax.linen as nn

from experiments.readme_tables.page import ROOT
from jaxseg import backbones, config, models, whole_file
from jaxseg.cli import commands, fields

FLAGS, FIELDS = (ROOT / "docs" / "reference" / f"{name}.md" for name in ("flags", "fields"))
_FLAGS_HEAD = """\
# Commands and flags

What `jaxseg COMMAND --help` prints. Where the console command is not installed, `python` with
`-m jaxseg` takes its place.
"""
_FIELDS_HEAD = """\
# Fields of an experiment

Each field is a flag: `--config.optim.learning_rate=0.01`,
`--config.model.backbone.output_stride=8`.
`jaxseg train --config=FILE --help` lists the fields of one experiment with the values that it sets.
"""


def help_of(command: str) -> str:
    """The help of a sub-command, run in its own process because commands share names of flags."""
    os.environ["COLUMNS"] = "100"  # independent of the terminal
    with contextlib.redirect_stdout(io.StringIO()) as heard, contextlib.suppress(SystemExit):
        commands.main([command, "--help"])
    return heard.getvalue().rstrip()


def flags_page() -> str:
    """The page of all commands."""
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        said = pool.map(help_of, commands.COMMANDS, chunksize=1)
    parts = [
        f"## jaxseg {name}\n\n```text\n{text}\n```\n"
        for name, text in zip(commands.COMMANDS, said, strict=True)
    ]
    return "\n".join([_FLAGS_HEAD, *parts])


def fields_page() -> str:
    """The page of all fields: those of every experiment, then those of each model and backbone."""
    parts = [_FIELDS_HEAD]
    whole = config.Experiment(model=nn.Module())
    for part in fields.parts(whole):
        if part.path and part.path != "model":
            parts.append(_section(f"config.{part.path}", part.cls, 2))
    shared: dict[type, None] = {}
    for title, package in (("Models", models), ("Backbones", backbones)):
        parts.append(f"## {title}\n")
        for cls in _modules(package):
            parts.append(_section(cls.__name__, cls, 3))
            shared |= dict.fromkeys(_parts_of(cls))
    if shared:
        parts.append("## Parts that models and backbones share\n")
        parts += [_section(cls.__name__, cls, 3) for cls in shared]
    return "\n".join(parts)


def _section(title: str, cls: type, level: int) -> str:
    """A heading, the first line of the class's docstring, and a table of its own fields."""
    about = (inspect.getdoc(cls) or "").partition("\n")[0]
    said = fields.meanings(cls)
    rows = [
        f"| `{field.name}` | {_default(field)} | {_cell(said.get(field.name) or _of_part(field))} |"
        for field in config.fields_of(cls)
    ]
    table = "\n".join(["| field | default | |", "| --- | --- | --- |", *rows])
    return f"{'#' * level} {title}\n\n{_cell(about)}\n\n{table}\n"


def _value(field: dataclasses.Field) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _default(field: dataclasses.Field) -> str:
    value = _value(field)
    if value is dataclasses.MISSING:
        return "required"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__name__}, below"
    return f"`{_cell(getattr(value, '__name__', repr(value)))}`"


def _of_part(field: dataclasses.Field) -> str:
    """The docstring of the class of a part; "" for a field that is not a part."""
    value = _value(field)
    return (
        (inspect.getdoc(value) or "").partition("\n")[0] if dataclasses.is_dataclass(value) else ""
    )


def _parts_of(cls: type) -> Iterator[type]:
    """The classes of values that are parts themselves, recursively, such as Norm and Compute."""
    for field in config.fields_of(cls):
        value = _value(field)
        if dataclasses.is_dataclass(value) and not isinstance(value, nn.Module | type):
            yield type(value)
            yield from _parts_of(type(value))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _modules(package: Any) -> Iterator[type[nn.Module]]:
    """The public modules that a package defines, file by file."""
    for info in pkgutil.iter_modules(package.__path__):
        file = importlib.import_module(f"{package.__name__}.{info.name}")
        for name, cls in vars(file).items():
            own = getattr(cls, "__module__", "") == file.__name__ and not name.startswith("_")
            if own and inspect.isclass(cls) and issubclass(cls, nn.Module):
                yield cls


def main() -> int:
    """The command line."""
    whole_file.write_text(FLAGS, flags_page())
    whole_file.write_text(FIELDS, fields_page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
