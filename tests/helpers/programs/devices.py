"""Four virtual CPU devices in float64: the same steps on meshes of several shapes, against one.

Prints one JSON object: for each case the largest difference in parameters, statistics and loss,
relative to the largest number of its leaf, and the collectives of the compiled step.
"""

import functools
import json
import os
import re
import sys

os.environ["XLA_FLAGS"] += " --xla_force_host_platform_device_count=4"  # to those of the tests
os.environ["JAX_ENABLE_X64"] = "1"

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxseg import config, metrics
from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.compute import Compute
from jaxseg.models.deeplab_v3 import DeepLabV3
from jaxseg.runtime.mesh import make_mesh, put_batch, replicated
from jaxseg.training import step
from tests.helpers.programs import tiny

STEPS = 2
COLLECTIVE = re.compile(r"\b(all-gather|all-to-all|all-reduce|collective-permute)(?:-start)?\(")


def mesh_of(data, rows):
    return Mesh(np.array(jax.devices()[: data * rows]).reshape(data, rows), ("data", "rows"))


def run(experiment, batch, mesh):
    """The state after STEPS steps, each loss, and the collectives."""
    optimizer, rate = step.make_optimizer(experiment)
    place = replicated(mesh)
    state = jax.jit(functools.partial(step.init_state, experiment, optimizer))()
    state = jax.device_put(tiny.float64(state), place)
    batch = put_batch(batch, mesh)
    train_step = jax.jit(step.make_train_step(experiment, optimizer, rate), donate_argnums=0)
    compiled = train_step.lower(state, batch).compile()
    found = []
    for _ in range(STEPS):
        state, terms = compiled(state, batch)
        found.append(terms)
    kinds = sorted(set(COLLECTIVE.findall(compiled.as_text())))
    return tiny.leaves({"state": state, "terms": found}), kinds


def difference(a, b, least=1e-12):
    """Of dictionaries of arrays, relative to the largest of each array, or to `least`."""
    assert a.keys() == b.keys()
    scale = {path: np.abs(b[path]).max(initial=least) for path in b}
    return float(max(np.abs(a[path] - b[path]).max(initial=0) / scale[path] for path in b))


def compare(experiment, batch, shapes):
    expected, _ = run(experiment, batch, mesh_of(1, 1))
    for shape in shapes:
        found, kinds = run(experiment, batch, mesh_of(*shape))
        yield shape, {"difference": difference(found, expected), "collectives": kinds}


def of_deeplab():
    result = {}
    backbone = ResNet(18, stage_units=(1, 1, 1, 1), width=4, compute=Compute("float64"))
    deeplab = DeepLabV3(tiny.CLASSES, backbone, aspp_features=8, compute=Compute("float64"))
    experiment = tiny.experiment(deeplab)
    experiment.data.crop_size = (32, 32)
    batch = tiny.batch(4, crop=(32, 32))
    for shape, found in compare(experiment, batch, [(4, 1)]):
        result[f"deeplab {shape}"] = found
    return result


def main():
    result = {}
    model = tiny.Tiny(dropout=0.2, aux=True, numbers="float64")
    for shape, found in compare(tiny.experiment(model), tiny.batch(8), [(4, 1), (2, 2)]):
        result[f"tiny {shape}"] = found
    experiment = tiny.experiment(model, accumulate=2)
    for shape, found in compare(experiment, tiny.batch(8), [(4, 1)]):
        result[f"accumulated {shape}"] = found
    experiment = tiny.experiment(
        tiny.Tiny(dropout=0.2, coarse=True, numbers="float64"), accumulate=2
    )
    experiment.loss = config.Loss(coarse=1.0, reduction="images")
    for shape, found in compare(experiment, tiny.batch(8), [(4, 1)]):
        result[f"coarse {shape}"] = found
    if json.loads(sys.argv[1])["deeplab"]:
        result |= of_deeplab()
    mesh = make_mesh(2)
    labels = np.random.default_rng(0).integers(0, 5, (2, 8, 8, 70)).astype(np.uint8)
    placed = jax.device_put(labels, jax.NamedSharding(mesh, jax.P(None, "data", "rows")))
    count = jax.jit(metrics.confusion_matrix, static_argnums=2)
    compiled = count.lower(placed[0], placed[1], 5).compile()
    result["confusion"] = {
        "difference": int(
            jnp.abs(compiled(placed[0], placed[1]) - count(labels[0], labels[1], 5)).sum()
        ),
        "collectives": sorted(set(COLLECTIVE.findall(compiled.as_text()))),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
