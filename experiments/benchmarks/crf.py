"""Times the dense CRF against pydensecrf2 (C++): one iteration, and a whole image.

    python -m experiments.benchmarks.crf
    python -m experiments.benchmarks.crf --image=photo.jpg --parameters=kazuto
    python -m experiments.benchmarks.crf --output=experiments/results/crf.json

Contenders take turns in one process, round after round. Each is called for one iteration and for
eleven, and rebuilds its lattices each time. A tenth of the difference is the time of an iteration;
the eleven iterations minus one give the time of an image with ten. The exact sum is timed on a
small image, because its time grows with the square of the number of pixels.
Needs pydensecrf2 (requirements/other_libraries.txt).
"""

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import Any

import cv2
import jax
import numpy as np
from absl import app, flags

from experiments.benchmarks import crf_peer, timing
from jaxseg.data.readers import pixels
from jaxseg.postprocess import crf
from jaxseg.runtime import memory

_IMAGE = flags.DEFINE_string(
    "image", None, "A photograph; by default an image of 500 x 375 is drawn."
)
_CLASSES = flags.DEFINE_integer("classes", 21, "Classes.", 1)
_PARAMETERS = flags.DEFINE_enum("parameters", "deeplab_v1", list(crf.PARAMETERS), "Which.")
_SMALL = flags.DEFINE_integer("small", 64, "Height and width for the exact sum.", 1)
_ROUNDS = flags.DEFINE_integer("rounds", 3, "Rounds.", 2)
_SECONDS = flags.DEFINE_float(
    "seconds", 0.05, "Minimum duration of a block of calls; 3 blocks per round.", 0
)
_WAIT = flags.DEFINE_float("wait", 5, "Maximum wait for a quiet machine, in minutes.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")

_FEW, _MANY = 1, 11
_TARGET = 4.0  # target: maximum time of an iteration relative to pydensecrf2's, on CPU

Call = Callable[[int], object]  # iterations -> work


def _picture(path: str | None) -> np.ndarray:
    """RGB uint8 [H, W, 3]."""
    if path:
        try:
            return pixels.read_image(pathlib.Path(path))
        except ValueError as error:
            raise app.UsageError(f"--image={path} {error}") from None
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    image = cv2.resize(coarse, (500, 375), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    grain = rng.integers(-25, 26, image.shape, dtype=np.int16)
    return cv2.GaussianBlur(np.clip(image + grain, 0, 255).astype(np.uint8), (3, 3), 0.6)


def _logits(height: int, width: int) -> np.ndarray:
    """Logits [H, W, K] of regions with soft borders."""
    noise = np.random.default_rng(1).normal(size=(height, width, _CLASSES.value))
    planes = [cv2.GaussianBlur(noise[..., k], (0, 0), 15) for k in range(_CLASSES.value)]
    return np.stack(planes, axis=-1).astype(np.float32) * 60


def _ours(image: np.ndarray, parameters: crf.CRFParameters, filter: str) -> Call:
    logits = jax.numpy.asarray(_logits(*image.shape[:2]))

    def call(iterations: int) -> None:
        p = dataclasses.replace(parameters, iterations=iterations)
        q = crf.mean_field(logits, image, p, normalization="symmetric", filter=filter)
        jax.block_until_ready(q)

    return call


def _pydensecrf(image: np.ndarray, parameters: crf.CRFParameters) -> Call:
    unary = crf_peer.energies(_logits(*image.shape[:2]))

    def call(iterations: int) -> None:
        crf_peer.mean_field(unary, image, dataclasses.replace(parameters, iterations=iterations))

    return call


def _blocks(calls: dict[str, Call]) -> dict[str, Callable[[int], object]]:
    """For `timing.take_turns`: each call with few and with many iterations."""

    def block(call: Call, iterations: int) -> Callable[[int], object]:
        return lambda count: [call(iterations) for _ in range(count)]

    return {
        f"{name}, {iterations}": block(call, iterations)
        for name, call in calls.items()
        for iterations in (_FEW, _MANY)
    }


def _parts(times: dict[str, timing.Times], name: str) -> tuple[timing.Times, timing.Times]:
    """Times of one iteration, and of an image (lattices and ten iterations), round by round."""
    few, many = times[f"{name}, {_FEW}"], times[f"{name}, {_MANY}"]

    def both(less: list[float], more: list[float]) -> tuple[list[float], list[float]]:
        one = [(b - a) / (_MANY - _FEW) for a, b in zip(less, more, strict=True)]
        return one, [b - a for a, b in zip(one, more, strict=True)]

    (wall, image_wall), (cpu, image_cpu) = both(few.wall, many.wall), both(few.cpu, many.cpu)
    return timing.Times(wall, cpu), timing.Times(image_wall, image_cpu)


def main(arguments: list[str]) -> None:
    """Times the contenders, prints a line for each, and writes the measurements."""
    if len(arguments) > 1:
        raise app.UsageError(f"{arguments[1]!r} is not a flag")
    image, parameters = _picture(_IMAGE.value), crf.PARAMETERS[_PARAMETERS.value]
    small = cv2.resize(image, (_SMALL.value, _SMALL.value), interpolation=cv2.INTER_AREA)
    where, load = timing.environment(), timing.wait_until_quiet(_WAIT.value)
    calls = {
        "lattice": _ours(image, parameters, "lattice"),
        "pydensecrf2": _pydensecrf(image, parameters),
        "exact, small": _ours(small, parameters, "exact"),
        "pydensecrf2, small": _pydensecrf(small, parameters),
    }
    times = timing.take_turns(_blocks(calls), _ROUNDS.value, _SECONDS.value)
    iterations, images = {}, {}
    for name in calls:
        iterations[name], images[name] = _parts(times, name)
    print(f"{where['processor']}, {where['cores']} cores, load at the start {load:.2f}")
    print(f"{image.shape[1]} x {image.shape[0]}, small {small.shape[1]} x {small.shape[0]},")
    print(f"{_CLASSES.value} classes, {_PARAMETERS.value}; milliseconds (CPU milliseconds)")
    for name, t in iterations.items():
        whole = images[name]
        print(
            f"{name:20} an iteration {1e3 * t.median:8.2f} ({1e3 * min(t.cpu):8.2f}), an image"
            f" (build and 10) {1e3 * whole.median:8.1f} ({1e3 * min(whole.cpu):8.1f})"
        )
    record: dict[str, Any] = {
        "environment": where,
        "load": load,
        "image": list(image.shape),
        "small": list(small.shape),
        "classes": _CLASSES.value,
        "parameters": dataclasses.asdict(parameters),
        "iteration": {name: t.to_json() for name, t in iterations.items()},
        "image_of_10": {name: t.to_json() for name, t in images.items()},
        "calls": {name: t.to_json() for name, t in times.items()},
        "compared": {},
    }
    target = _TARGET if jax.default_backend() == "cpu" else None
    for what, of in (("an iteration", iterations), ("an image", images)):
        ours, other = (("lattice", of["lattice"]), ("pydensecrf2", of["pydensecrf2"]))
        compared = timing.Comparison.of(ours, other, load, target if of is iterations else None)
        record["compared"][what] = compared.to_json()
        cpu = min(ours[1].cpu) / min(other[1].cpu)
        print(f"lattice / pydensecrf2, {what}: {compared}; of CPU time {cpu:.2f}")
    if _OUTPUT.value:
        timing.write(_OUTPUT.value, record)


if __name__ == "__main__":
    memory.keep_freed(os.environ.get("JAX_PLATFORMS"))
    app.run(main)
