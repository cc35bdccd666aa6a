"""A network and a data set small enough that a whole training run is a test."""

import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxseg import config
from jaxseg.data.labels import LabelSpec, voc_palette

CLASSES = 3
# For jax.jit: of a program this small, compilation is nearly all the time.
QUICK = {"xla_backend_optimization_level": 0}
COLOURS = np.array([[40, 40, 40], [220, 60, 60], [60, 200, 90]])


class Tiny(nn.Module):
    """Stride 2, one batch norm, dropout, perhaps an auxiliary head; nothing of jaxseg.layers."""

    num_classes: int = CLASSES
    features: int = 8
    norm: bool = True
    dropout: float = 0.1
    aux: bool = False
    coarse: bool = False  # logits on the map of stride 2, and on one of stride 4
    numbers: str = "float32"  # of parameters and statistics too, for tests in float64

    @nn.compact
    def __call__(self, images, *, train):
        b, h, w, _ = images.shape
        kind = {"dtype": self.numbers, "param_dtype": self.numbers}
        x = nn.Conv(
            self.features, (3, 3), 2, padding=1, use_bias=not self.norm, name="conv", **kind
        )(images)
        if self.norm:
            x = nn.BatchNorm(not train, momentum=0.8, name="norm", **kind)(x)
        x = nn.relu(x)
        outputs = {"features": x}
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        shape = (b, h, w, self.num_classes)
        x = nn.Conv(self.num_classes, (1, 1), name="classifier", **kind)(x)
        if self.coarse:
            outputs |= {"coarse_logits": x, "coarse_logits_scale50": x[:, ::2, ::2]}
        outputs["logits"] = jax.image.resize(x, shape, "bilinear", antialias=False)
        if self.aux:
            y = nn.Conv(self.num_classes, (1, 1), name="aux_classifier", **kind)(
                outputs["features"]
            )
            outputs["aux_logits"] = jax.image.resize(y, shape, "bilinear", antialias=False)
        return outputs


class Squares:
    """Coloured squares on grey with noise, and a void border; `pause` seconds for each example."""

    def __init__(self, count=12, size=(20, 24), seed=0, pause=0.0):
        self.count, self.largest, self.seed, self.pause = count, size, seed, pause
        identity = {i: i for i in range(CLASSES)} | {255: 255}
        self.labels = LabelSpec(("ground", "red", "green"), voc_palette(CLASSES), identity)

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        time.sleep(self.pause)
        rng = np.random.default_rng((self.seed, int(index)))
        label = np.zeros(self.largest, np.uint8)
        for k in (1, 2):
            y, x = rng.integers(0, np.array(self.largest) - 8)
            label[y : y + 8, x : x + 8] = k
        noise = rng.normal(0, 30, (*self.largest, 3))
        image = np.clip(COLOURS[label] + noise, 0, 255).astype(np.uint8)
        label[0] = 255
        return {"image": image, "label": label, "name": f"squares_{index}"}


def experiment(model=None, **train):
    """A run of a few steps; `train` are fields of config.Train."""
    settings = {"steps": 6, "log_every": 2, "eval_every": 0, "checkpoint_every": 2, "pictures": 1}
    return config.Experiment(
        model=model or Tiny(),
        data=config.Data(
            name="squares",
            batch_size=4,
            crop_size=(16, 16),
            augment=config.Augment(scale_range=(0.75, 1.25)),
            threads=1,
            prefetch=4,
        ),
        optim=config.Optim(learning_rate=0.05),
        train=config.Train(**(settings | train)),
        eval=config.Eval(batch_size=4),
    )


def sources(pause=0.0):
    """(training, evaluation)."""
    return Squares(12, pause=pause), Squares(6, seed=1)


def batch(size=4, crop=(16, 16), seed=0):
    """Images and labels as the loader gives them."""
    source = Squares(size, crop, seed)
    examples = [source[i] for i in range(size)]
    return {name: np.stack([e[name] for e in examples]) for name in ("image", "label")}


def leaves(tree):
    """Path -> NumPy array."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(k, simple=True, separator="/"): np.asarray(v) for k, v in flat}


def float64(tree):
    """Every floating leaf in float64."""
    wide = lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x
    return jax.tree.map(wide, tree)
