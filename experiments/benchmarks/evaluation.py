"""The cost of an evaluation beyond its network: reading, upsampling, argmax, counting; memory.

    python -m experiments.benchmarks.evaluation --name=voc2012 --data_dir=data
    python -m experiments.benchmarks.evaluation --network=resnet50 --output=X.json
    python -m experiments.benchmarks.evaluation --memory

Contenders take turns over the same images of a prepared data set, padded to 513 x 513: the whole
path (`split.evaluate`, from the files to the confusion matrix); the network alone, up to logits at
the image's size; and the network up to its own map, before upsampling. For the latter two the
images are already on the device. The target is that the whole path takes at most 1.1 times as long
as the network up to logits. `--memory` evaluates one image of 1024 x 2048 with 150 classes in a
separate process and prints its peak memory, beside the compiled memory of a training step of the
same size.
"""

import dataclasses
import functools
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any, cast

import jax
import numpy as np
from absl import app, flags

from experiments.benchmarks import timing
from jaxseg import config
from jaxseg.backbones.mobilenet_v2 import MobileNetV2
from jaxseg.backbones.resnet import ResNet
from jaxseg.data import frames, loader
from jaxseg.evaluation import split
from jaxseg.models.deeplab_v3 import DeepLabV3
from jaxseg.pixels import Normalisation, normalise
from jaxseg.runtime import memory
from jaxseg.types import Array, Outputs

_NAME = flags.DEFINE_string("name", "voc2012", "A prepared data set.")
_SPLIT = flags.DEFINE_string("split", "val", "Of it.")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Folder of the data sets.")
_NETWORK = flags.DEFINE_enum(
    "network", "mobilenet", ["mobilenet", "resnet50"], "Backbone of the DeepLab v3."
)
_IMAGES = flags.DEFINE_integer("images", 16, "Images per turn.", 1)
_BATCH = flags.DEFINE_integer("batch", 4, "Images per batch.", 1)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds.", 2)
_WAIT = flags.DEFINE_float("wait", 5, "Maximum wait for a quiet machine, in minutes.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")
_MEMORY = flags.DEFINE_bool("memory", False, "Measure memory instead of time.")
_ALONE = flags.DEFINE_string(
    "alone", None, "Used internally by --memory: the task of this process."
)

_SIDE = 513
_TARGET = 1.1
_LARGE, _CLASSES = (1024, 2048), 150
_PIXELS = Normalisation()

Call = Callable[[], object]


def _network(num_classes: int) -> DeepLabV3:
    if _NETWORK.value == "resnet50":
        return DeepLabV3(num_classes, ResNet(depth=50, output_stride=16), dropout=0.0)
    return DeepLabV3(num_classes, MobileNetV2(output_stride=16), atrous_rates=(), dropout=0.0)


def _contenders(source: loader.Source) -> dict[str, Call]:
    model = _network(source.labels.num_classes)
    variables = jax.jit(functools.partial(model.init, train=False))(
        jax.random.key(0), np.zeros((1, 65, 65, 3), np.float32)
    )
    side = (_SIDE, _SIDE)
    protocol = config.Eval(batch_size=_BATCH.value, size=side, examples=_IMAGES.value)
    groups = frames.groups(
        source, _IMAGES.value, frames.Framing(side, side), batch_size=_BATCH.value
    )
    batches = [
        jax.device_put(batch["image"])
        for batch in loader.eval_batches(source, groups, pad_value=_PIXELS.mean)
    ]

    @functools.partial(jax.jit, static_argnums=1)
    def forward(images: Array, output: str) -> Array:
        x = normalise(images, _PIXELS)
        return cast(Outputs, model.apply(variables, x, train=False))[output]

    def network(output: str) -> Call:
        return lambda: [jax.block_until_ready(forward(images, output)) for images in batches]

    def whole() -> None:
        split.evaluate(
            model,
            variables,
            source,
            protocol=protocol,
            normalisation=_PIXELS,
            crop=side,
            progress=False,
        )

    return {
        "whole path": whole,
        "network to logits": network("logits"),
        "network to its own map": network("coarse_logits"),
    }


def measure_time() -> dict[str, Any]:
    """Prints a line for each contender; returns the measurements as JSON values."""
    source = loader.open_split(_NAME.value, _SPLIT.value, _DATA_DIR.value)
    calls = _contenders(source)
    load = timing.wait_until_quiet(_WAIT.value)
    blocks = {
        name: lambda count, call=call: [call() for _ in range(count)]
        for name, call in calls.items()
    }
    times = timing.take_turns(blocks, _ROUNDS.value, 0.0)
    print(f"{_NETWORK.value}, {_IMAGES.value} images of {_SIDE}, load at the start {load:.2f}")
    record: dict[str, Any] = {"environment": timing.environment(), "load": load, "compared": {}}
    for name, t in times.items():
        each = t.median / _IMAGES.value
        compared = timing.Comparison.of(
            ("whole path", times["whole path"]),
            (name, t),
            load,
            _TARGET if name == "network to logits" else None,
        )
        print(f"{name:24} {1 / each:6.2f} images/s; whole path / {name} {compared}")
        record["compared"][name] = compared.to_json() | {"times": t.to_json()}
    return record | {"network": _NETWORK.value, "images": _IMAGES.value, "batch": _BATCH.value}


def _alone() -> None:
    """Runs one image through the evaluation's program, or a training step, in this process."""
    from jaxseg.inference.infer import make_predictions
    from jaxseg.training.step_memory import step_memory

    model = _network(_CLASSES)
    experiment = config.Experiment(
        model=model,
        data=config.Data(batch_size=1, crop_size=_LARGE),
        eval=config.Eval(batch_size=1, size=_LARGE),
    )
    protocol = experiment.eval
    scales = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
    several = dataclasses.replace(protocol, scales=scales, flip=True)
    if _ALONE.value == "compiled":
        for name, part in step_memory(experiment, _LARGE).items():
            print(f"{name}: {part['peak'] / 2**20:.0f} MiB as compiled")
        experiment.eval = several
        part = step_memory(experiment, _LARGE)["eval step"]
        print(f"eval step, six scales: {part['peak'] / 2**20:.0f} MiB as compiled")
        return
    if _ALONE.value == "six scales":
        protocol = several
    variables = jax.jit(functools.partial(model.init, train=False))(
        jax.random.key(0), np.zeros((1, 65, 65, 3), np.float32)
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    predict = make_predictions(model, protocol, _PIXELS, _CLASSES)
    images = np.random.default_rng(0).integers(0, 256, (1, *_LARGE, 3), dtype=np.uint8)
    jax.block_until_ready(predict(variables, images))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{_ALONE.value}: {(after - before) / 2**10:.0f} MiB more than before")


def measure_memory() -> dict[str, Any]:
    """Prints and returns the output of each process."""
    record: dict[str, Any] = {"environment": timing.environment(), "told": []}
    for what in ("compiled", "one view", "six scales"):
        command = [sys.executable, "-m", "experiments.benchmarks.evaluation", f"--alone={what}"]
        command.append(f"--network={_NETWORK.value}")
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print(done.stdout, end="", flush=True)
        record["told"] += done.stdout.splitlines()
    size = {"size": list(_LARGE), "classes": _CLASSES, "network": _NETWORK.value}
    return record | size


def main(arguments: list[str]) -> None:
    """Measures time, or memory with --memory."""
    if len(arguments) > 1:
        raise app.UsageError(f"{arguments[1]!r} is not a flag")
    if _ALONE.value:
        _alone()
        return
    record = measure_memory() if _MEMORY.value else measure_time()
    if _OUTPUT.value:
        timing.write(_OUTPUT.value, record)


if __name__ == "__main__":
    memory.keep_freed(os.environ.get("JAX_PLATFORMS"))
    app.run(main)
