"""The end of a run: the contents of its last checkpoint, and its log."""

import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from jaxseg.workdir import log

_BY_THE_CLOCK = ("time", "images_per_second", "seconds")


def steps(run: pathlib.Path) -> list[int]:
    """The steps of the complete checkpoints."""
    found = (run / "checkpoints").glob("*")
    return sorted(int(path.name) for path in found if path.name.isdigit())


def last_logged(run: pathlib.Path) -> int:
    """The last step in the log; 0 if there is none."""
    return max((line["step"] for line in log.read_lines(run / "metrics.jsonl")), default=0)


def leaves(run: pathlib.Path) -> dict[str, np.ndarray]:
    """The parameters, statistics, optimiser state and average in the last checkpoint."""
    folder = (run / "checkpoints" / str(steps(run)[-1])).absolute()
    with ocp.PyTreeCheckpointer() as reader:
        shapes = reader.metadata(folder / "state").item_metadata.tree
        as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
        tree = reader.restore(folder / "state", restore_args=as_numpy)
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(k, simple=True, separator="/"): np.asarray(v) for k, v in flat}


def logged(run: pathlib.Path) -> list[dict[str, Any]]:
    """The log without the values that depend on the clock."""
    return [
        {name: value for name, value in line.items() if name not in _BY_THE_CLOCK}
        for line in log.read_lines(run / "metrics.jsonl")
    ]


def compare(run: pathlib.Path, undisturbed: pathlib.Path) -> dict[str, Any]:
    """Compares the ends of two runs, bit by bit, and their logs.

    Returns:
      "last_step", "arrays" and "values" compared, "arrays_that_differ" by name, "same_log", and
      "same_bits".
    """
    found, expected = leaves(run), leaves(undisturbed)
    differing = sorted(
        path
        for path in found.keys() | expected.keys()
        if path not in found
        or path not in expected
        or found[path].dtype != expected[path].dtype
        or found[path].tobytes() != expected[path].tobytes()
    )
    return {
        "last_step": steps(run)[-1],
        "arrays": len(expected),
        "values": int(sum(leaf.size for leaf in expected.values())),
        "arrays_that_differ": differing,
        "same_bits": not differing and steps(run)[-1] == steps(undisturbed)[-1],
        "same_log": logged(run) == logged(undisturbed),
    }
