"""Variables of which no layer is the identity, for tests that compare what networks compute."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg import config
from jaxseg.layers.compute import PLAIN


def shapes_of(model, size=(33, 33)):
    """The model's variables as shapes, without an array.

    They do not depend on the form (tests/models/test_all_models.py), and plain ones are traced in
    half the time.
    """
    images = jnp.zeros((1, *size, 3))
    plain = config.with_fields(model, {"compute": PLAIN})
    return jax.eval_shape(lambda: plain.init(jax.random.key(0), images, train=False))


def count(variables):
    """Trainable parameters: kernels, biases, scales; running statistics are none."""
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def random_variables(model, size=(33, 33), seed=0):
    """Random kernels, norms and running statistics that keep features far from 0 and infinity."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        name = path[-1].key
        if name == "kernel":
            spread = np.sqrt(2 / np.prod(leaf.shape[:3]))
            return (spread * rng.normal(size=leaf.shape)).astype(np.float32)
        if name in ("scale", "var"):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        return (0.3 * rng.normal(size=leaf.shape)).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, shapes_of(model, size))
