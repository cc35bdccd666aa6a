"""Exchanges the settings of the processes, to name one that was started differently."""

import functools
import hashlib
import pathlib
import platform
import sys
from typing import Any

import jax

import jaxseg
from jaxseg import config
from jaxseg.data import loader
from jaxseg.data.source import open_any
from jaxseg.runtime import agreement, processes
from jaxseg.workdir import environment, saved_steps

# Fields that are specific to a machine: paths and numbers of threads.
_OWN = {"data.data_dir", "data.manual_dir", "data.threads", "data.prefetch", "train.compile_cache"}
_TO_COME = 300.0  # seconds by which a process may start later than the others
_TO_LEAVE = 60.0  # seconds for all to read what the others reported
_DIGITS = 12


def refuse_odd(
    experiment: config.Experiment,
    workdir: pathlib.Path,
    mode: str,
    opened: tuple[loader.Source, ...] | None = None,
) -> None:
    """Compares the settings of the processes of a run; does nothing for a single process.

    Args:
      experiment: of this process.
      workdir: the run folder, which all processes must see.
      mode: the task.
      opened: the splits, instead of those that experiment.data names.

    Raises:
      ValueError: names the odd process and what differs.
      TimeoutError: a process does not respond.
    """
    if jax.process_count() > 1:
        told = {"the task": mode}
        told |= settings(experiment)
        told |= _of_machine()
        told |= _of_data(experiment.data, opened)
        told["the newest checkpoint in the run folder"] = str(
            saved_steps.newest(workdir / "checkpoints")
        )
        with processes.waiting("the settings of the other processes"):
            store = processes.store()
            agreement.refuse_odd(
                told | code(experiment),
                jax.process_index(),
                jax.process_count(),
                store,
                timeout=_TO_COME,
                all_have_read=lambda name: store.wait_at_barrier(name, int(1000 * _TO_LEAVE)),
            )


def settings(experiment: config.Experiment) -> dict[str, str]:
    """Each field of the config by its path, except those that are specific to a machine."""
    return {path: repr(v) for path, v in config.flatten(experiment) if path not in _OWN}


def code(experiment: config.Experiment) -> dict[str, str]:
    """A digest of each source file of this package, and of those of the experiment's classes."""
    found = dict(_of_package())
    for name in sorted({type(node).__module__ for node in _nodes(experiment)}):
        file = getattr(sys.modules.get(name), "__file__", None)
        if name.partition(".")[0] != jaxseg.__name__ and file:
            found[f"the code of {name}"] = _digest(pathlib.Path(file))
    return found


@functools.cache
def _of_package() -> dict[str, str]:
    root = pathlib.Path(jaxseg.__file__).parent
    return {
        f"the code of jaxseg/{path.relative_to(root).as_posix()}": _digest(path)
        for path in sorted(root.rglob("[!.]*.py"))
    }


def _digest(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:_DIGITS]


def _nodes(node: Any) -> list[Any]:
    """The dataclasses of a config tree."""
    if isinstance(node, tuple | list):
        return [found for part in node for found in _nodes(part)]
    if not hasattr(node, "__dataclass_fields__") or isinstance(node, type):
        return []
    values = (getattr(node, field.name) for field in config.fields_of(node))
    return [node, *(found for value in values for found in _nodes(value))]


def _of_machine() -> dict[str, str]:
    versions = {f"the version of {name}": v for name, v in environment.versions().items()}
    return versions | {
        "the version of Python": platform.python_version(),
        "the number of devices of a process": str(jax.local_device_count()),
        "the kind of its devices": jax.local_devices()[0].device_kind,
        "JAX's 64-bit mode": str(jax.config.jax_enable_x64),  # type: ignore[attr-defined]
        "JAX's precision of products": str(
            jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
        ),
    }


def _of_data(data: config.Data, opened: tuple[loader.Source, ...] | None) -> dict[str, str]:
    """Classes, counts and digests of both splits or, if they cannot be opened, the reason."""
    try:
        splits = opened or tuple(
            open_any(data.name, split, data.data_dir)
            for split in dict.fromkeys((data.train_split, data.eval_split))
        )
    except (ValueError, OSError) as error:
        return {"the data": str(error)}
    told = {"the classes": splits[0].labels.to_json(), "the data": "there"}
    for split in splits:
        if isinstance(split, loader.Source):
            known = split.fingerprint.splits[split.split]
            of = f"{split.name} {split.split}"
            told[f"the number of examples of {of}"] = str(known.count)
            told[f"the bytes of {of}"] = str(known.size)
            told[f"the digest of the examples of {of}"] = known.digest if known.names else ""
    return told
