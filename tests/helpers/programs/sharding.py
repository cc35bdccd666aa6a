"""Eight virtual CPU devices in float64: tall images with their rows, and states, spread over them.

argv[1] is JSON: "folder" for checkpoints, "size" of the images, "rows" and "spread" meshes. Prints
one JSON object: for each case the largest difference of a step to that on one device, relative to
the largest number of its leaf; the collectives of the compiled step; and its bytes on a device.
"""

import functools
import json
import os
import pathlib
import sys

os.environ["JAX_ENABLE_X64"] = "1"

import flax.linen as nn
import jax
import numpy as np

from jaxseg import config
from jaxseg.layers.aspp import ASPP
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import Conv
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.layers.pool import max_pool
from jaxseg.layers.resize import resize_bilinear
from jaxseg.runtime.mesh import put_batch, with_shardings
from jaxseg.training import step
from jaxseg.workdir import checkpoint
from tests.helpers.programs import tiny
from tests.helpers.programs.devices import COLLECTIVE, difference, mesh_of

DTYPE = "float64"
# What the image pooling of one image learns is 0 (see ASPP), and computed as 1e-16.
ROUNDING = 1e-5


class SmallDeepLab(nn.Module):
    """What DeepLab v3 is made of, with logits in float64: the model's own are float32.

    In plain forms, as on accelerators. Fast ones of the CPU sum over all pixels as one axis, and
    for that each device gathers them.
    """

    num_classes: int = tiny.CLASSES
    width: int = 8
    form: str = "plain"

    @nn.compact
    def __call__(self, images, *, train):
        compute = Compute(DTYPE, self.form)
        block = functools.partial(ConvNorm, compute=compute)
        x = block(self.width, 3, 2)(images, train=train)  # [B, H/2, W/2, 8]
        x = max_pool(x, 3, 2, 1)  # [B, H/4, W/4, 8]
        x = block(2 * self.width, 3, 2)(x, train=train)  # [B, H/8, W/8, 16]
        for rate in (2, 4):  # a multi-grid
            x = block(2 * self.width, 3, 1, rate)(x, train=train)
        x = ASPP(2 * self.width, (1, 2, 3), dropout=0.2, compute=compute)(x, train=train)
        x = Conv(self.num_classes, 1, use_bias=True, compute=compute)(x)
        size = images.shape[1:3]
        x = resize_bilinear(x, size, convention="align_corners", form=self.form)
        return {"logits": x}


def start(experiment, mesh):
    """The initial state in float64 as it lies on the mesh, its places, and the compiled step."""
    optimizer, rate = step.make_optimizer(experiment)
    state = tiny.float64(jax.jit(functools.partial(step.init_state, experiment, optimizer))())
    abstract = with_shardings(state, mesh, shard=experiment.train.shard_params)
    places = jax.tree.map(lambda leaf: leaf.sharding, abstract)
    spread = places if experiment.train.shard_params else None
    train_step = jax.jit(
        step.make_train_step(experiment, optimizer, rate, spread),
        out_shardings=(places, None),
        donate_argnums=0,
    )
    return jax.device_put(state, places), abstract, train_step


def run(experiment, batch, mesh, steps=1):
    state, _, train_step = start(experiment, mesh)
    batch = put_batch(batch, mesh)
    compiled = train_step.lower(state, batch).compile()
    before = jax.tree.map(lambda leaf: leaf.sharding, state)
    for _ in range(steps):
        state, terms = compiled(state, batch)
    assert before == jax.tree.map(lambda leaf: leaf.sharding, state)
    memory = compiled.memory_analysis()
    facts = {
        "collectives": sorted(set(COLLECTIVE.findall(compiled.as_text()))),
        "arguments": memory.argument_size_in_bytes,
        "temporary": memory.temp_size_in_bytes,
    }
    return state, tiny.leaves({"state": state, "terms": terms}), facts


def rows(result, size, numbers, form, images):
    """Whole images, their rows over some devices."""
    experiment = tiny.experiment(SmallDeepLab(form=form))
    experiment.data.crop_size = size
    batch = tiny.batch(images, crop=size)
    _, expected, result["rows 1"] = run(experiment, batch, mesh_of(1, 1))
    for n in numbers:
        _, found, facts = run(experiment, batch, mesh_of(1, n))
        result[f"rows {n}"] = facts | {"difference": difference(found, expected, ROUNDING)}


def spread(result, shapes, folder):
    """A state over the devices of some meshes; checkpoints, read for another mesh."""
    wide = tiny.Tiny(dropout=0.2, aux=True, features=64, numbers=DTYPE)
    settings = {"ema_decay": 0.9, "accumulate": 2}
    optim = config.Optim("adamw", clip_norm=0.1, multipliers=(("classifier", 10.0),))
    whole, parts = (tiny.experiment(wide, shard_params=s, **settings) for s in (False, True))
    whole.optim = parts.optim = optim
    batch = tiny.batch(16)
    one, expected, result["whole"] = run(whole, batch, mesh_of(1, 1), steps=3)
    for shape in shapes:
        state, found, facts = run(parts, batch, mesh_of(*shape), steps=3)
        result[f"spread {tuple(shape)}"] = facts | {"difference": difference(found, expected)}
    for name, saved, (experiment, mesh) in (
        ("whole to spread", one, (parts, mesh_of(8, 1))),
        ("spread to whole", state, (whole, mesh_of(2, 1))),
    ):
        _, abstract, _ = start(experiment, mesh)
        with checkpoint.Checkpoints(folder / name, 1) as checkpoints:
            checkpoints.save(3, saved, {}, wait=True)
            read, _ = checkpoints.restore(abstract)
        assert [a.sharding for a in jax.tree.leaves(abstract)] == [
            leaf.sharding for leaf in jax.tree.leaves(read)
        ]
        assert tiny.leaves(read).keys() == tiny.leaves(saved).keys()
        result[name] = float(
            max(
                np.abs(a - b).max(initial=0)
                for a, b in zip(
                    jax.tree.leaves(tiny.leaves(read)),
                    jax.tree.leaves(tiny.leaves(saved)),
                    strict=True,
                )
            )
        )


def main(settings):
    result = {}
    flags = os.environ["XLA_FLAGS"] if settings.get("quick", True) else ""  # of the tests
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=8"
    form, images = settings.get("form", "plain"), settings.get("images", 2)
    rows(result, tuple(settings["size"]), settings["rows"], form, images)
    if settings.get("spread"):
        spread(result, settings["spread"], pathlib.Path(settings["folder"]))
    print(json.dumps(result))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
