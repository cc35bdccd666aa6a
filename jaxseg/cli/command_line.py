"""Parses the flags of commands that take an experiment, with one-line errors."""

import difflib
import os
import pathlib
import re
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags
from ml_collections import config_flags

from jaxseg import config
from jaxseg.cli import fields, flag_check, stored_config
from jaxseg.errors import one_line, together

_REFUSED = (flags.Error, KeyError, TypeError, ValueError, OSError, AttributeError)


def _with_stored_config(arguments: list[str]) -> list[str]:
    """The arguments, with the config of the run folder if --config is not given."""

    def value(flag: str) -> str | None:
        for i, argument in enumerate(arguments):
            name, equals, given = argument.lstrip("-").partition("=")
            if argument.startswith("-") and name == flag:
                return given if equals else arguments[i + 1] if i + 1 < len(arguments) else None
        return None

    workdir = value("workdir")
    if value("config") or not workdir or not (pathlib.Path(workdir) / "config.json").is_file():
        return arguments
    return [arguments[0], f"--config={stored_config.__file__}:{workdir}", *arguments[1:]]


def _config_file(arguments: Sequence[str]) -> str | None:
    """The value of --config: FILE or FILE:ARGUMENT."""
    given = [a.partition("=")[2] for a in arguments if re.match("--?config=", a)]
    return given[-1] if given else None


def _check_file(path: pathlib.Path) -> None:
    """Raises an error if the experiment file does not exist, and lists similar ones."""
    if not path.is_file():
        near = sorted(
            str(other) for other in path.parent.glob("[!.]*.py") if other.stem != "__init__"
        )
        there = f"; did you mean {', '.join(near)}?" if near else ""
        raise flags.ValidationError(f"--config={path}: no such file{there}")


def _alone(file: str, overrides: Sequence[str]) -> Any:
    """The experiment in `file` with only these overrides."""
    values = flags.FlagValues()
    arguments = ["", f"--config={file}", *overrides]
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=arguments)
    values(arguments)
    return values["config"].value


def read(file: str | os.PathLike[str]) -> config.Experiment:
    """The experiment of a file, FILE or FILE:ARGUMENT, as --config=FILE reads it.

    Raises:
      ValueError: the file does not exist, or defines no experiment.
    """
    try:
        _check_file(pathlib.Path(str(file).partition(":")[0]))
        return _alone(str(file), ())
    except (SyntaxError, NameError, ImportError, *_REFUSED) as error:
        raise ValueError(f"{file} cannot be read as an experiment: {_reason(error)}") from error


def help_of_fields(arguments: list[str]) -> list[str]:
    """The lines of --help about the experiment that a command line names, with its overrides.

    If it cannot be read, the process ends, as in `parse`.
    """
    arguments = _with_stored_config(arguments)
    file = _config_file(arguments)
    if file is None:
        return fields.listed(None)
    try:
        _check_file(pathlib.Path(file.partition(":")[0]))
        overrides = [a for a in arguments if re.match("--?(no)?config[.]", a)]
        return fields.listed(_alone(file, overrides))
    except (SyntaxError, NameError, ImportError, *_REFUSED) as error:
        print(f"jaxseg: {file}: {_reason(error)}", file=sys.stderr)
        sys.exit(2)


def _fields(file: str) -> dict[str, Any]:
    """The fields of the experiment in `file` and their values."""
    return dict(config.flatten(_alone(file, ())))


def _reason(error: Exception) -> str:
    if isinstance(error, flags.Error):
        return str(error).strip().splitlines()[-1]  # ml_collections' holds a traceback
    return one_line(error)


def _of_override(file: str, argument: str, known: Sequence[str]) -> str:
    """The fault of one --config.FIELD=VALUE; "" if there is none."""
    flag = argument.lstrip("-").partition("=")[0]
    field = flag.removeprefix("config.")
    if not any(k == field or k.startswith(field + ".") for k in known):
        near = difflib.get_close_matches(field, known, n=3, cutoff=0.5)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        return f"--{flag}: the experiment has no field {field}{hint}"
    if field not in known:
        return f"--{flag} is a part of the experiment: set one of its fields"
    try:
        _alone(file, [argument])
    except _REFUSED as error:
        return _reason(error)
    return ""


def parse(arguments: list[str]) -> list[str]:
    """Parses flags with absl; reports all faults at once and exits with status 2."""
    arguments = _with_stored_config(arguments)
    file = _config_file(arguments)
    faults: list[str] = []
    try:
        if file is not None:
            _check_file(pathlib.Path(file.partition(":")[0]))
        overrides = [a for a in arguments if re.match("--?(no)?config[.]", a)]
        bare = file is not None and any("=" not in a for a in overrides)
        fields = _fields(file) if bare and file is not None else {}
        booleans = [path for path, value in fields.items() if isinstance(value, bool)]
        faults = flag_check.faults(arguments, flags.FLAGS, booleans)
        if not faults:
            return flags.FLAGS(arguments)
    except (SyntaxError, NameError, ImportError) as error:
        faults = [f"{file} is not an experiment file: {type(error).__name__}: {error}"]
    except _REFUSED as error:
        faults = _each(file, arguments) or [_reason(error)]
    else:
        faults += [fault for fault in _each(file, arguments) if fault not in faults]
    print(f"jaxseg: {together(faults, 'flags')}", file=sys.stderr)
    sys.exit(2)


def _each(file: str | None, arguments: Sequence[str]) -> list[str]:
    """The faults of the individual --config.FIELD=VALUE flags."""
    overrides = [a for a in arguments if re.match("--?config[.][^=]*=", a)]
    if file is None or not overrides or not pathlib.Path(file.partition(":")[0]).is_file():
        return []
    try:
        known = list(_fields(file))
    except _REFUSED:
        return []
    return [fault for a in overrides if (fault := _of_override(file, a, known))]


def prepare_jax(experiment: config.Experiment) -> None:
    """Prepares for the first use of JAX: the memory allocator and the compilation cache."""
    import jax

    from jaxseg.runtime import memory

    memory.keep_freed(os.environ.get("JAX_PLATFORMS"))
    if experiment.train.compile_cache:
        folder = os.path.expanduser(experiment.train.compile_cache)
        jax.config.update("jax_compilation_cache_dir", folder)
