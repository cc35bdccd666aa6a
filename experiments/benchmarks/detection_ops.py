r"""NMS and RoIAlign beside torchvision's compiled operations, in CPU time of one thread.

    PYTHONPATH=.judges/torchvision/site LD_LIBRARY_PATH=.judges/torchvision/stubs \
        python -m experiments.benchmarks.detection_ops --output=experiments/results/X.json

torchvision's operations load beside a CPU build of torch with the stub libraries that its judge
has (tests/other_libraries/test_torchvision_operations.py). All contenders take turns in one process
on one processor, round after round. What counts is the least CPU time of a call, which other
programs on the machine change by some 25 %, and not its wall time. Each answer is compared first.
"auto" is what models run; of NMS it is the plain form on a CPU, of RoIAlign the fast one.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torchvision
from absl import app, flags

from experiments.benchmarks import timing
from jaxseg.layers.boxes import levels_of
from jaxseg.layers.nms import nms
from jaxseg.layers.roi_align import roi_align
from jaxseg.runtime import memory

_ONLY = flags.DEFINE_list("only", [], "Beginnings of names of cases; default all.")
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds.", 2)
_SECONDS = flags.DEFINE_float("seconds", 0.05, "Least length of a block of calls; 3 a round.", 0)
_WAIT = flags.DEFINE_float("wait", 5, "Minutes to wait at most for a quiet machine.")
_OUTPUT = flags.DEFINE_string("output", None, "JSON file to write.")

_FORMS = ("plain", "fast", "auto")
_STRIDES = (4, 8, 16, 32)
_IMAGE, _CHANNELS = 512, 256  # of RoIAlign: side of the image, and of the maps

Call = Callable[[], Any]  # does its work once and waits for it


@dataclasses.dataclass(frozen=True)
class Case:
    """One piece of work, by torchvision and by each of our forms."""

    name: str
    calls: Mapping[str, Call]
    target: float | None  # the most that "auto" may take of torchvision's CPU time


def _proposals(count: int, seed: int, *, spread: bool) -> tuple[np.ndarray, np.ndarray]:
    """Boxes on an image of 800 x 800 and their scores.

    Args:
      count: of boxes.
      seed: of the generator.
      spread: small ones at random; else as those of a region proposal network: three fifths near
        20 objects.
    """
    rng = np.random.default_rng(seed)
    centre = rng.uniform(0, 800, (count, 2))
    if spread:
        sides = rng.uniform(5, 60, (count, 2))
    else:
        sides = np.exp(rng.uniform(np.log(16), np.log(300), (count, 2)))
        which, near = rng.integers(0, 20, count), rng.random((count, 1)) < 0.6
        objects = rng.uniform(0, 800, (20, 2))[which]
        extent = np.exp(rng.uniform(np.log(20), np.log(300), (20, 2)))[which]
        centre = np.where(near, objects + 0.15 * extent * rng.normal(size=(count, 2)), centre)
        sides = np.where(near, extent * np.exp(0.2 * rng.normal(size=(count, 2))), sides)
    boxes = np.concatenate([centre - sides / 2, centre + sides / 2], axis=1).clip(0, 800)
    return boxes.astype(np.float32), rng.random(count).astype(np.float32)


def _waiting(function: Callable[..., Any], *arguments: Any) -> Call:
    compiled = jax.jit(function)
    return lambda: jax.block_until_ready(compiled(*arguments))


def _nms(name: str, count: int, levels: int, *, spread: bool, target: float | None) -> Case:
    """Of one level, or of several at once."""
    drawn = [_proposals(count, seed, spread=spread) for seed in range(levels)]
    tensors = [[torch.tensor(x) for x in level] for level in drawn]
    boxes, scores = (jnp.stack(x) for x in zip(*drawn, strict=True))
    valid = jnp.ones(scores.shape, bool)

    def theirs() -> list[torch.Tensor]:
        return [torchvision.ops.nms(*level, 0.7) for level in tensors]

    calls: dict[str, Call] = {"torchvision": theirs}
    for form in _FORMS:
        one = functools.partial(nms, threshold=0.7, form=form)
        calls[form] = _waiting(jax.vmap(one), boxes, scores, valid)
        for kept, index, there in zip(theirs(), *calls[form](), strict=True):
            np.testing.assert_array_equal(index[there], kept.numpy())
    return Case(name, calls, target)


def _regions(count: int) -> np.ndarray:
    """[N, 4]: sides from 16 pixels to 0.9 of the image's, up to three times as long as wide."""
    rng = np.random.default_rng(0)
    side = np.exp(rng.uniform(np.log(16), np.log(0.9 * _IMAGE), count))
    aspect = np.exp(rng.uniform(-np.log(3), np.log(3), count))
    sides = np.minimum(np.stack([side * aspect**0.5, side * aspect**-0.5], 1), _IMAGE - 1)
    corner = rng.uniform(0, _IMAGE - sides)
    return np.concatenate([corner, corner + sides], axis=1).astype(np.float32)


def _by_torchvision(maps: list[np.ndarray], rois: np.ndarray, dy: np.ndarray) -> dict[str, Call]:
    """Its pooler's way: the RoIs of each level, put in their places among all."""
    size = dy.shape[1]
    tensors = [torch.tensor(x.transpose(0, 3, 1, 2)).contiguous().requires_grad_() for x in maps]
    level = np.asarray(levels_of(jnp.asarray(rois), 2, 5))
    places = [torch.tensor(np.flatnonzero(level == k)) for k in range(len(maps))]
    flat = torch.tensor(np.pad(rois, [(0, 0), (1, 0)]))
    cotangent = torch.tensor(dy.transpose(0, 3, 1, 2)).contiguous()

    def run() -> torch.Tensor:
        result = torch.zeros(cotangent.shape)
        for x, stride, place in zip(tensors, _STRIDES, places, strict=True):
            result[place] = torchvision.ops.roi_align(x, flat[place], size, 1 / stride, 2, False)
        return result

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return run()

    def both() -> list[torch.Tensor | None]:
        for x in tensors:
            x.grad = None
        run().backward(cotangent)
        return [x.grad for x in tensors]

    return {"value": forward, "value and gradient": both}


def _roi_align(count: int, size: int, target: float) -> list[Case]:
    """Of an image's pyramid, sampling 2, not aligned: the value alone, and with its gradient."""
    rng = np.random.default_rng(1)
    maps = [
        rng.normal(size=(1, _IMAGE // s, _IMAGE // s, _CHANNELS)).astype(np.float32)
        for s in _STRIDES
    ]
    dy = rng.normal(size=(count, size, size, _CHANNELS)).astype(np.float32)
    theirs = _by_torchvision(maps, rois := _regions(count), dy)
    calls = {name: {"torchvision": call} for name, call in theirs.items()}
    arguments = jax.tree.map(jnp.asarray, (maps, rois[None], dy[None]))
    for form in ("plain", "auto"):

        def value(maps: Any, rois: Any, dy: Any, form: str = form) -> Any:
            return roi_align(maps, _STRIDES, rois, levels_of(rois, 2, 5), size, form=form)

        def both(maps: Any, rois: Any, dy: Any, value: Any = value) -> Any:
            y, pull = jax.vjp(lambda maps: value(maps, rois, dy), maps)
            return y, pull(dy)[0]

        calls["value"][form] = _waiting(value, *arguments)
        calls["value and gradient"][form] = _waiting(both, *arguments)
        y, gradients = calls["value and gradient"][form]()
        expected = theirs["value"]().numpy().transpose(0, 2, 3, 1)
        np.testing.assert_allclose(y[0], expected, atol=2e-4)
        for ours, x in zip(gradients, theirs["value and gradient"](), strict=True):
            np.testing.assert_allclose(ours, x.numpy().transpose(0, 2, 3, 1), atol=1e-3)
    name = f"RoIAlign of {count} RoIs, {size} x {size}"
    return [
        Case(f"{name}, {what}", each, target if what != "value" else None)
        for what, each in calls.items()
    ]


MAKERS: Mapping[str, Callable[[], list[Case]]] = {
    "nms 2000": lambda: [_nms("NMS of 2000 proposals", 2000, 1, spread=False, target=0.8)],
    "nms 1000": lambda: [_nms("NMS of 1000 proposals", 1000, 1, spread=False, target=None)],
    "nms spread": lambda: [_nms("NMS of 2000 boxes apart", 2000, 1, spread=True, target=0.8)],
    "nms levels": lambda: [_nms("NMS of 5 levels of 2000", 2000, 5, spread=False, target=0.8)],
    "roi 512 7": lambda: _roi_align(512, 7, 0.45),
    "roi 128 14": lambda: _roi_align(128, 14, 0.35),
    "roi 512 14": lambda: _roi_align(512, 14, 0.35),
}


def measure(case: Case) -> dict[str, Any]:
    """Times one case and prints its line; what was measured, as JSON values."""

    def block(call: Call) -> Callable[[int], None]:
        def run(count: int) -> None:
            for _ in range(count):
                call()

        return run

    blocks = {name: block(call) for name, call in case.calls.items()}
    times = timing.take_turns(blocks, _ROUNDS.value, _SECONDS.value)
    least = {name: min(t.cpu) for name, t in times.items()}
    ratios = {name: seconds / least["torchvision"] for name, seconds in least.items()}
    met = None if case.target is None else round(ratios["auto"], 2) <= case.target
    cells = [f"{name} {1e3 * least[name]:.2f} ({ratios[name]:.2f})" for name in case.calls]
    aim = "" if met is None else f"; at most {case.target:g}{'' if met else ': MISSED'}"
    print(f"{case.name:52} {', '.join(cells)}{aim}", flush=True)
    return {
        "contenders": {name: t.to_json() for name, t in times.items()},
        "cpu_ratio": ratios,
        "target": case.target,
        "met": met,
    }


def main(arguments: list[str]) -> None:
    """All cases, one after the other; what is measured is written after each."""
    if len(arguments) > 1:
        raise app.UsageError(f"{arguments[1]!r} is not a flag")
    makers = [m for n, m in MAKERS.items() if not _ONLY.value or n.startswith(tuple(_ONLY.value))]
    if not makers:
        raise app.UsageError(f"--only={','.join(_ONLY.value)}: no case begins so")
    load = timing.wait_until_quiet(_WAIT.value)
    where = timing.environment()
    where["versions"] |= {"torch": torch.__version__, "torchvision": torchvision.__version__}
    print(f"{where['processor']}, one thread, load at the start {load:.2f}")
    print("CPU milliseconds (over torchvision's)")
    record: dict[str, Any] = {"environment": where, "load": load, "threads": 1, "cases": {}}
    for make in makers:
        for case in make():
            record["cases"][case.name] = measure(case)
            if _OUTPUT.value:
                timing.write(_OUTPUT.value, record)


if __name__ == "__main__":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before JAX starts its threads
    torch.set_num_threads(1)
    memory.keep_freed("cpu")
    app.run(main)
