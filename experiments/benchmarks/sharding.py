"""Memory per device when the rows of an image, or a train state, are sharded over devices.

    python -m experiments.benchmarks.sharding
    python -m experiments.benchmarks.sharding --parts=rows --output=X.json
    python -m experiments.benchmarks.sharding --parts=state --devices=8 --output=X.json

Compiles the train step of DeepLab v3 for virtual devices without running it; the memory of a device
is the compiler's estimate (`memory_analysis`). Rows: ResNet-50 at output stride 16 on one whole
image of 1024 x 2048. State: ResNet-101 with AdamW and a parameter average, one image of 129 x 129
per device, with the state replicated or sharded by train.shard_params. The operations are in their
plain forms, as on accelerators: the fast forms for CPU sum over all pixels as one axis, and gather
them first. `arguments` are the state and the batch, `temporary` is the step's additional memory.
"""

import functools
import os
import sys
from collections.abc import Sequence

import jax
import numpy as np
from absl import app, flags
from jax.sharding import AxisType

from experiments.benchmarks import timing
from jaxseg import config
from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.compute import PLAIN
from jaxseg.models.deeplab_v3 import DeepLabV3
from jaxseg.runtime.mesh import batch_sharding, with_shardings
from jaxseg.training import step

_DEVICES = flags.DEFINE_list("devices", ["1", "2", "4", "8"], "Numbers of devices.")
_PARTS = flags.DEFINE_list("parts", ["rows", "state"], "What is sharded.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")

_CLASSES = 19


def _experiment(depth: int) -> config.Experiment:
    model = DeepLabV3(_CLASSES, ResNet(depth=depth, output_stride=16))
    return config.Experiment(model=config.with_fields(model, {"compute": PLAIN}))


def _large() -> config.Experiment:
    experiment = _experiment(50)
    experiment.data.crop_size = (1024, 2048)
    return experiment


def _deep(shard: bool) -> config.Experiment:
    experiment = _experiment(101)
    experiment.data.crop_size = (129, 129)
    experiment.optim.name = "adamw"
    experiment.train.ema_decay = 0.999
    experiment.train.shard_params = shard
    return experiment


def measure(experiment: config.Experiment, data: int, rows: int) -> dict[str, int]:
    """The memory of the step per device, in bytes, for one image on each group of devices."""
    devices = jax.devices()[: data * rows]
    kinds = (AxisType.Auto,) * 2
    mesh = jax.make_mesh((data, rows), ("data", "rows"), axis_types=kinds, devices=devices)
    optimizer, rate = step.make_optimizer(experiment)
    shard = experiment.train.shard_params
    state = with_shardings(
        jax.eval_shape(functools.partial(step.init_state, experiment, optimizer)),
        mesh,
        shard=shard,
    )
    places = jax.tree.map(lambda leaf: leaf.sharding, state)
    batch = {
        name: jax.ShapeDtypeStruct(
            (data, *experiment.data.crop_size, *channels),
            np.uint8,
            sharding=batch_sharding(mesh),
        )
        for name, channels in (("image", (3,)), ("label", ()))
    }
    train_step = step.make_train_step(experiment, optimizer, rate, places if shard else None)
    jitted = jax.jit(train_step, out_shardings=(places, None), donate_argnums=0)
    compiled = jitted.lower(state, batch).compile()
    memory = compiled.memory_analysis()
    assert memory is not None
    return {
        "devices": data * rows,
        "arguments": memory.argument_size_in_bytes,
        "temporary": memory.temp_size_in_bytes,
    }


def main(arguments: Sequence[str]) -> None:
    """Prints a line for each number of devices; with --output also writes a record."""
    del arguments
    numbers = [int(n) for n in _DEVICES.value]
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={max(numbers)}"
    cases = []
    for n in numbers:
        if "rows" in _PARTS.value:
            cases.append(("rows", _large(), 1, n))
        if "state" in _PARTS.value:
            cases += [("state whole", _deep(False), n, 1), ("state spread", _deep(True), n, 1)]
    results: dict[str, list[dict[str, int]]] = {}
    for name, experiment, data, rows in cases:
        found = measure(experiment, data, rows)
        results.setdefault(name, []).append(found)
        print(
            f"{name}, {found['devices']} devices: arguments {found['arguments'] / 1e6:.0f} MB, "
            f"temporary {found['temporary'] / 1e6:.0f} MB a device",
            file=sys.stderr,
            flush=True,
        )
        if _OUTPUT.value:
            timing.write(_OUTPUT.value, {"environment": timing.environment(), "bytes": results})


if __name__ == "__main__":
    app.run(main)
