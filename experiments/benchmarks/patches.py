"""The cost of classifying each pixel by its patch, against the same function computed densely.

    python -m experiments.benchmarks.patches
    python -m experiments.benchmarks.patches --size=96,96 --rounds=9

One image passes through `jaxseg.models.patch_classifier` in both ways, alternately, with the same
weights; the logits are compared first. Patches are processed in groups that suit the caches. The
ratio of wall times is printed only on a quiet machine (see `timing`); that of processor times is
hardly affected by other programs. Nothing is written.
"""

import functools
from collections.abc import Callable, Sequence
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from experiments.benchmarks import timing
from jaxseg.inspection import summary
from jaxseg.models.patch_classifier import PatchClassifier, PatchNetwork, patches_of
from jaxseg.reporting import tables
from jaxseg.types import Array, Outputs, Variables

_SIZE = flags.DEFINE_list("size", ["64", "64"], "Height and width of the image.")
_STAGES = flags.DEFINE_integer("stages", 3, "Stages of the network; 3 see 45 pixels, 4 see 93.", 1)
_WIDTH = flags.DEFINE_integer("width", 16, "Features of the stages.", 1)
_TOGETHER = flags.DEFINE_integer("together", 64, "Patches computed at a time.", 1)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Rounds.", 1)
_SECONDS = flags.DEFINE_float(
    "seconds", 0.5, "Minimum duration of a block of calls; 3 blocks per round.", 0
)


def by_patch(model: PatchClassifier, variables: Variables, image: Array) -> Array:
    """Logits [H, W, K] of an image [H, W, 3], computed for each pixel from its own patch."""
    network = PatchNetwork(model.num_classes, model.width, model.stages, model.head_features)
    own = {"params": variables["params"]["network"]}

    def classify(patch: Array) -> Array:
        _, logits = cast(tuple[Array, Array], network.apply(own, patch[None], train=False))
        return logits[0, 0, 0]

    patches = patches_of(image[None], network.side)
    logits = jax.lax.map(classify, patches, batch_size=_TOGETHER.value)
    return logits.reshape(*image.shape[:2], -1)


def densely(model: PatchClassifier, variables: Variables, image: Array) -> Array:
    """The same logits, computing only once what patches share."""
    return cast(Outputs, model.apply(variables, image[None], train=False))["logits"][0]


def _block(function: Callable[[], Array]) -> Callable[[int], object]:
    def block(count: int) -> None:
        for _ in range(count):
            jax.block_until_ready(function())

    return block


def main(argv: Sequence[str]) -> None:
    """Prints the multiply-adds and seconds of both ways, and their ratios."""
    del argv
    height, width = map(int, _SIZE.value)
    load = timing.wait_until_quiet(0)
    model = PatchClassifier(7, width=_WIDTH.value, stages=_STAGES.value)
    image = jnp.asarray(np.random.default_rng(0).normal(size=(height, width, 3)), jnp.float32)
    variables = jax.jit(functools.partial(model.init, train=False))(jax.random.key(0), image[None])
    ways = {
        name: functools.partial(jax.jit(functools.partial(way, model)), variables, image)
        for name, way in (("patch by patch", by_patch), ("dense", densely))
    }
    logits = [np.asarray(way()) for way in ways.values()]
    np.testing.assert_allclose(logits[0], logits[1], rtol=1e-4, atol=1e-4)

    blocks = {name: _block(way) for name, way in ways.items()}
    times = timing.take_turns(blocks, _ROUNDS.value, _SECONDS.value)
    adds = {
        name: summary.summarize(model.clone(dense=name == "dense"), (height, width)).multiply_adds
        for name in ways
    }
    side = PatchNetwork(7, stages=_STAGES.value).side
    print(f"one image of {height} x {width}, patches of {side} x {side}, {jax.devices()[0]}")
    rows = [
        [name, summary.count(adds[name]), f"{its.median:.4f}", f"{min(its.cpu):.4f}"]
        for name, its in times.items()
    ]
    print(tables.aligned(rows, ["", "multiply-adds", "s by the clock", "s of processors"]))
    naive, dense = times["patch by patch"], times["dense"]
    clock = timing.Comparison.of(("patch by patch", naive), ("dense", dense), load)
    print(
        f"patch by patch over dense: multiply-adds {adds['patch by patch'] / adds['dense']:.0f}, "
        f"processors {min(naive.cpu) / min(dense.cpu):.0f}, clock {clock}"
    )


if __name__ == "__main__":
    app.run(main)
