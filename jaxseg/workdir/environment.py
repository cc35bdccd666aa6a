"""Records the provenance of a run: config.json and environment.json."""

import datetime
import importlib.metadata
import pathlib
import platform
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax

import jaxseg
from jaxseg import config, renamed, whole_file
from jaxseg.workdir import files
from jaxseg.workdir.log import json_ready, write_json

_PACKAGES = (
    *("jax", "jaxlib", "flax", "optax", "orbax-checkpoint"),
    *("grain", "tensorflow-datasets", "numpy", "opencv-python-headless"),
)


def describe_run(
    experiment: config.Experiment,
    workdir: pathlib.Path,
    source: pathlib.Path | None,
    step: int,
    data: Sequence[str] = (),
) -> None:
    """Writes config.json, environment.json and experiment.py, and prints what a restart changes.

    Args:
      experiment: of this start.
      workdir: the run folder.
      source: the experiment file, or None.
      step: from which training continues; 0 at the first start.
      data: notes on the data of this start; see `same_data.hold_training`.
    """
    values = json_ready(config.to_dict(experiment))
    path = workdir / "config.json"
    start = environment() | {"step": step}
    there = path.exists()
    before = _before(path)
    if step and there:
        start["changed"] = (
            changes(renamed.current(before), values) if before else ["config.json was unreadable"]
        )
        for line in start["changed"]:
            print(f"changed since the last start: {line}", file=sys.stderr)
    if data:
        start["data"] = list(data)
        print(*(f"jaxseg: {line}" for line in data), sep="\n", file=sys.stderr)
    write_json(path, values)
    write_environment(workdir, start)
    copy = workdir / "experiment.py"
    if copy.is_dir():
        whole_file.set_aside(copy, "it is a folder")
    if source and not (step and copy.exists()):
        whole_file.write_bytes(copy, source.read_bytes())


def _before(path: pathlib.Path) -> dict[str, Any]:
    """The object in a JSON file; {} if it is missing or damaged, in which case it is set aside."""
    try:
        return files.read_object(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        whole_file.set_aside(path, files.why(error))
        return {}


def changes(before: Any, after: Any) -> list[str]:
    """A line like "optim.learning_rate: 0.01 -> 0.02" for each value that differs in two trees."""

    def leaves(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
        if isinstance(tree, Mapping):
            for key, value in tree.items():
                yield from leaves(value, f"{path}.{key}" if path else key)
        else:
            yield path, tree

    old, new = dict(leaves(before, "")), dict(leaves(after, ""))
    return [
        f"{path}: {old.get(path)} -> {new.get(path)}"
        for path in [*old, *(path for path in new if path not in old)]
        if old.get(path) != new.get(path)
    ]


def environment() -> dict[str, Any]:
    """Command, code, versions and devices of this process, for environment.json."""
    return {
        "command": _command(),
        "git": _git_hash(),
        "versions": versions(),
        "devices": [device.device_kind for device in jax.devices()],
        "processes": jax.process_count(),
        "python": platform.python_version(),
        "host": socket.gethostname(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def versions() -> dict[str, str]:
    """The versions of this package and of the installed packages that affect numbers."""
    found = {"jaxseg": jaxseg.__version__}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _command() -> str:
    """The command line of this process, with modules by name, so that it works elsewhere."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = ["-m", spec.name.removesuffix(".__main__")] if spec else sys.argv[:1]
    return shlex.join([pathlib.Path(sys.executable).name, *program, *sys.argv[1:]])


def _git_hash() -> str:
    """The commit of this code, followed by "-dirty" if files differ; "" outside a checkout."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    folder = pathlib.Path(jaxseg.__file__).parent.parent
    if not (folder / ".git").exists():  # installed, perhaps inside the checkout of another project
        return ""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def write_environment(workdir: pathlib.Path, start: Mapping[str, Any]) -> None:
    """Writes environment.json: the latest start of the run and, under "starts", all of them.

    Args:
      workdir: the run folder.
      start: `environment()` and other facts about this start.
    """
    path = workdir / "environment.json"
    before = _before(path)
    starts = before.get("starts", [])
    if not isinstance(starts, list) or not all(isinstance(one, dict) for one in starts):
        whole_file.set_aside(path, "its list of starts is invalid")
        starts = []
    write_json(path, {**start, "starts": [*starts, dict(start)]})
