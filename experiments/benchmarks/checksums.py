"""The cost of checkpoint checksums: a save and a restore with and without them.

    python -m experiments.benchmarks.checksums [--width=64] [--repeats=5] [--folder=FOLDER]

The state is that of DeepLab v3 on a ResNet-101 with momentum, or of a narrower one. Prints the
size of the state, the median wall time and processor time of each part (other programs on the
machine affect the latter less), and the share of the checksums.
"""

import argparse
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import optax

from jaxseg.backbones.resnet import ResNet
from jaxseg.models.deeplab_v3 import DeepLabV3
from jaxseg.percent import percent
from jaxseg.state import TrainState
from jaxseg.workdir import checkpoint, checksums


def make_state(width: int) -> TrainState:
    """Random values in the shapes of the network's state."""
    model = DeepLabV3(21, ResNet(101, width=width))
    images = jnp.zeros((1, 65, 65, 3))
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))

    def drawn(tree: Any) -> Any:
        return jax.tree.map(lambda x: jax.random.normal(jax.random.key(0), x.shape, x.dtype), tree)

    params = drawn(shapes["params"])
    optimizer = optax.sgd(0.1, momentum=0.9).init(params)
    return TrainState(jnp.int32(1), params, drawn(shapes["batch_stats"]), optimizer)


def _seconds(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def _without() -> Any:
    """Replaces the computation of checksums by functions that do nothing."""
    nothing = {"algorithm": "none", "leaves": {}, "iterator": checksums.of_json({})}
    return mock.patch.multiple(
        checksums,
        record=lambda *_: nothing,
        check_record=lambda _: None,
        check_types=lambda *_: None,
        differing=lambda *_: [],
        uncovered=lambda *_: [],
    )


def measure(state: TrainState, folder: pathlib.Path) -> dict[str, float]:
    """Seconds of a save, until training may continue and until all is on disk, and of a restore."""
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
    )
    with checkpoint.Checkpoints(folder, keep=2) as checkpoints:
        processor, began = time.process_time(), time.perf_counter()
        checkpoints.save(1, state, {})
        until = time.perf_counter()
        checkpoints.wait()
        end = time.perf_counter()
        busy = time.process_time() - processor
    processor = time.process_time()
    with checkpoint.Checkpoints(folder, keep=2) as checkpoints:
        restore = _seconds(lambda: checkpoints.restore(abstract))
    return {
        "blocks": until - began,
        "save": end - began,
        "save, processor": busy,
        "restore": restore,
        "restore, processor": time.process_time() - processor,
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder")
    given = parser.parse_args()
    state = jax.block_until_ready(make_state(given.width))
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    alone, busy = [], []
    for _ in range(given.repeats):
        processor = time.process_time()
        alone.append(_seconds(lambda: checksums.record(state, {})))
        busy.append(time.process_time() - processor)
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(dir=given.folder) as scratch:
        for number in range(given.repeats):  # alternately, so that both see the same disk
            for name in ("with", "without"):
                place = pathlib.Path(scratch) / f"{name}{number}"
                if name == "with":
                    seconds = measure(state, place)
                else:
                    with _without():
                        seconds = measure(state, place)
                for part, value in seconds.items():
                    found.setdefault(f"{part} {name}", []).append(value)
    print(f"{size / 1e6:.1f} MB in {len(jax.tree.leaves(state))} leaves, {jax.devices()[0]}")
    middle = statistics.median(alone)
    print(
        f"checksums alone: {middle:.3f} s, {size / middle / 1e9:.2f} GB/s; of the processor "
        f"{statistics.median(busy):.3f} s"
    )
    for part in ("blocks", "save", "save, processor", "restore", "restore, processor"):
        on, off = (statistics.median(found[f"{part} {name}"]) for name in ("with", "without"))
        print(f"{part}: {on:.3f} s with, {off:.3f} s without: {percent(on / off - 1, 1, '+')} %")


if __name__ == "__main__":
    main()
