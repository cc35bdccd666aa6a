"""Flags of the commands that take an experiment: parsed in one place, refused in one line."""

import difflib
import os
import pathlib
import re
import sys
from collections.abc import Sequence

from absl import flags
from ml_collections import config_flags

from jaxseg import config, stored
from jaxseg.errors import one_line


def _with_stored_config(arguments: list[str]) -> list[str]:
    """The arguments, with the run folder's own config where none is named."""

    def value(flag: str) -> str | None:
        for i, argument in enumerate(arguments):
            name, equals, given = argument.lstrip("-").partition("=")
            if argument.startswith("-") and name == flag:
                return given if equals else arguments[i + 1] if i + 1 < len(arguments) else None
        return None

    workdir = value("workdir")
    if value("config") or not workdir or not (pathlib.Path(workdir) / "config.json").is_file():
        return arguments
    return [arguments[0], f"--config={stored.__file__}:{workdir}", *arguments[1:]]


def _config_file(arguments: Sequence[str]) -> str | None:
    """What follows --config=, FILE or FILE:ARGUMENT."""
    given = [a.partition("=")[2] for a in arguments if re.match("--?config=", a)]
    return given[-1] if given else None


def _check_file(path: pathlib.Path) -> None:
    """Refuses an experiment file that is not there, with those that are."""
    if not path.is_file():
        near = sorted(str(other) for other in path.parent.glob("*.py") if other.stem != "__init__")
        there = f"; there are {', '.join(near)}" if near else ""
        raise flags.ValidationError(f"--config={path}: no such file{there}")


def _known_fields(file: str) -> list[str]:
    """The field names of the experiment in `file`, to propose a near one."""
    alone = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=alone, sys_argv=[])
    alone(["", f"--config={file}"])
    return [path for path, _ in config.flatten(alone["config"].value)]


def parse(arguments: list[str]) -> list[str]:
    """absl's flag parsing; a wrong field or value of the config becomes one line and exit 2."""
    arguments = _with_stored_config(arguments)
    file = _config_file(arguments)
    try:
        if file is not None:
            _check_file(pathlib.Path(file.partition(":")[0]))
        return flags.FLAGS(arguments)
    except (SyntaxError, NameError, ImportError) as error:
        message = f"{file} is no experiment file: {type(error).__name__}: {error}"
    except flags.Error as error:
        message = str(error).strip().splitlines()[-1]  # ml_collections' holds a traceback
        for flag in (a.lstrip("-").partition("=")[0] for a in arguments):
            if "not supported for overriding" in message and f"field {flag} " in message:
                message = f"--{flag} is a part of the experiment: set one of its fields"
    except (KeyError, TypeError, ValueError, OSError, AttributeError) as error:
        message = one_line(error)
        wrong = [a.lstrip("-").partition("=")[0] for a in arguments if "config." in a[:9]]
        known = _known_fields(file) if file is not None and wrong else []
        for flag in wrong:
            field = flag.removeprefix("config.")
            if known and not any(k == field or k.startswith(field + ".") for k in known):
                near = difflib.get_close_matches(field, known, n=3, cutoff=0.5)
                hint = f"; near it: {', '.join(near)}" if near else ""
                message = f"--{flag}: the experiment has no field {field}{hint}"
                break
    print(f"jaxseg: {message}", file=sys.stderr)
    sys.exit(2)


def prepare_jax(experiment: config.Experiment) -> None:
    """What comes before JAX's first use: memory that stays, and the cache of compiled programs."""
    import jax

    from jaxseg import memory

    memory.keep_freed(os.environ.get("JAX_PLATFORMS"))
    if experiment.train.compile_cache:
        folder = os.path.expanduser(experiment.train.compile_cache)
        jax.config.update("jax_compilation_cache_dir", folder)
