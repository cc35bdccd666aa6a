"""The judge of the CRF: pydensecrf2, the authors' code in C++, with its symmetric normalisation.

Its kernels are both on lattices, which are approximations (jaxseg/postprocess/permutohedral.py): so
our lattice is held to it closely where it gets the same features, mean field only loosely.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.postprocess.crf import PARAMETERS, CRFParameters, mean_field
from jaxseg.postprocess.permutohedral import build_lattice, lattice_sum
from tests.postprocess.quick import QUICK

pytestmark = pytest.mark.other_libraries

HEIGHT, WIDTH, CLASSES = 45, 52, 6


@pytest.fixture(scope="module")
def judge():
    return pytest.importorskip("pydensecrf.densecrf")


@pytest.fixture(scope="module")
def picture():
    """Logits and an image: smooth regions that agree in part, and noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = [np.sin(x / 9 + y / 12), np.cos(x / 8 - y / 11), np.sin((x - y) / 13)]
    image = 127.5 + 80 * np.stack(waves, -1) + rng.normal(0, 3, (HEIGHT, WIDTH, 3))
    logits = 1.5 * np.stack([*waves, *(-w for w in waves)], -1)
    logits += rng.normal(0, 0.7, logits.shape)
    return logits.astype(np.float32), np.clip(image, 0, 255).round().astype(np.uint8)


def _judged(judge, logits, image, p, normalization="NORMALIZE_SYMMETRIC"):
    """pydensecrf's Q [H, W, K]."""
    model = judge.DenseCRF2D(WIDTH, HEIGHT, CLASSES)
    unary = -np.asarray(jax.nn.log_softmax(logits)).transpose(2, 0, 1).reshape(CLASSES, -1)
    model.setUnaryEnergy(np.ascontiguousarray(unary))
    how = getattr(judge, normalization)
    if p.w2:
        model.addPairwiseGaussian(sxy=p.theta_gamma, compat=p.w2, normalization=how)
    if p.w1:
        model.addPairwiseBilateral(
            sxy=p.theta_alpha, srgb=p.theta_beta, rgbim=image, compat=p.w1, normalization=how
        )
    q = np.array(model.inference(p.iterations))
    return q.reshape(CLASSES, HEIGHT, WIDTH).transpose(1, 2, 0)


def _normalised(lattice, q, how):
    """Ours of its name for a normalisation."""
    total = functools.partial(lattice_sum, lattice)
    norm = total(jnp.ones((len(q), 1)))
    if how == "NORMALIZE_SYMMETRIC":
        return jax.lax.rsqrt(norm) * total(jax.lax.rsqrt(norm) * q)
    return total(q) / norm if how == "NORMALIZE_AFTER" else total(q)


@pytest.mark.parametrize(
    ("kernel", "normalization"),
    [
        ("appearance", "NORMALIZE_SYMMETRIC"),
        ("smoothness", "NORMALIZE_SYMMETRIC"),
        ("smoothness", "NORMALIZE_AFTER"),  # "per_pixel"
        ("smoothness", "NO_NORMALIZATION"),  # "none": the plain sum
    ],
)
def test_our_lattice_is_its_lattice(judge, picture, kernel, normalization):
    """Of its features, which are not centred: one iteration, in which errors do not grow."""
    logits, image = picture
    w = 0.1 if normalization == "NO_NORMALIZATION" else 5
    p = CRFParameters(w, 80, 13, w, 3, 1)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    positions = np.stack([x, y], -1).reshape(-1, 2)
    if kernel == "appearance":
        p = dataclasses.replace(p, w2=0)
        colours = image.reshape(-1, 3).astype(np.float32)
        features = np.concatenate([positions / p.theta_alpha, colours / p.theta_beta], 1)
    else:
        p = dataclasses.replace(p, w1=0)
        features = positions / p.theta_gamma
    bounds = tuple(float(f) for f in features.max(0))

    def iteration(features, logits):
        q = jax.nn.softmax(logits).reshape(-1, CLASSES)
        message = _normalised(build_lattice(features, bounds), q, normalization)
        return jax.nn.softmax(logits + w * message.reshape(logits.shape))

    ours = np.asarray(jax.jit(iteration, compiler_options=QUICK)(features, logits))
    difference = np.abs(ours - _judged(judge, logits, image, p, normalization))
    print(f"largest difference {difference.max():.1e}")
    assert difference.max() < 1e-5
    assert np.abs(ours - jax.nn.softmax(logits)).max() > 0.05


@pytest.mark.parametrize("filter", ["exact", "lattice"])
def test_mean_field(judge, picture, filter):
    logits, image = picture
    p = dataclasses.replace(PARAMETERS["deeplab_v1"], theta_alpha=20, theta_beta=10, iterations=5)
    run = jax.jit(
        lambda logits, image: mean_field(
            logits, image, p, normalization="symmetric", filter=filter
        ),
        compiler_options=QUICK,
    )
    ours = np.asarray(run(logits, image))
    judged = _judged(judge, logits, image, p)
    agree = (ours.argmax(-1) == judged.argmax(-1)).mean()
    changed = (logits.argmax(-1) != judged.argmax(-1)).mean()
    print(f"labels equal {agree:.4f}, mean |dQ| {np.abs(ours - judged).mean():.4f}, of the judge's")
    print(f"labels {changed:.3f} are not those of the logits")
    assert agree > 0.95
    assert np.abs(ours - judged).mean() < 0.02
    assert changed > 0.1
