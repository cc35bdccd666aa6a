"""The CRF against sums over all pairs in NumPy, and properties of both filters."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.postprocess import crf
from jaxseg.postprocess.crf import PARAMETERS, CRFParameters, mean_field
from tests.postprocess.quick import QUICK

CLASSES = 4
SMALL = CRFParameters(w1=4, theta_alpha=6, theta_beta=20, w2=3, theta_gamma=1.5, iterations=3)


def _picture(height, width, seed=0):
    """Returns smooth colours with a little noise, and logits that partly follow them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 5 + y / 9), np.cos(x / 7 - y / 4), np.sin((x + y) / 6)]
    image = 127.5 + 90 * np.stack(waves, -1) + rng.normal(0, 4, (height, width, 3))
    logits = np.stack(waves * 2, -1)[..., :CLASSES] + rng.normal(0, 1, (height, width, CLASSES))
    return logits.astype(np.float32), np.clip(image, 0, 255).round().astype(np.uint8)


@functools.cache
def _program(filter, thetas, how):
    """Compiles mean field once per shape; only the lattice needs the values of both thetas."""

    def run(logits, image, parameters, compatibility):
        if thetas:
            alpha, beta = thetas
            parameters = dataclasses.replace(parameters, theta_alpha=alpha, theta_beta=beta)
        return mean_field(
            logits, image, parameters, compatibility=compatibility, filter=filter, **dict(how)
        )

    return jax.jit(run, compiler_options=QUICK)


def _mean_field(logits, image, parameters, compatibility=None, filter="exact", **how):
    how.setdefault("normalization", "per_pixel")
    thetas = (parameters.theta_alpha, parameters.theta_beta) if filter == "lattice" else None
    run = _program(filter, thetas, tuple(how.items()))
    parameters = jax.tree.map(np.float32, parameters)
    return np.asarray(run(logits, image, parameters, compatibility))


def _softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _kernels(image, parameters):
    """Returns both kernels as matrices in float64."""
    height, width, _ = image.shape
    y, x = np.mgrid[:height, :width]
    positions = np.stack([x, y], -1).reshape(-1, 2).astype(np.float64)
    colours = image.reshape(-1, 3).astype(np.float64)

    def squares(f):
        return ((f[:, None] - f[None]) ** 2).sum(-1)

    near = squares(positions)
    alpha, beta, gamma = parameters.theta_alpha, parameters.theta_beta, parameters.theta_gamma
    alike = squares(colours) / (2 * beta**2)
    return np.exp(-near / (2 * alpha**2) - alike), np.exp(-near / (2 * gamma**2))


def _brute_force(logits, image, parameters, compatibility=None, normalization="per_pixel"):
    """Algorithm 1 of the paper with sums over all pairs, in float64."""
    classes = logits.shape[-1]
    unary = -np.log(_softmax(logits.reshape(-1, classes).astype(np.float64)))
    mu = 1 - np.eye(classes) if compatibility is None else compatibility
    kernels = []
    for k in _kernels(image, parameters):
        d = k.sum(1, keepdims=True)
        kernels.append(
            {"none": k, "per_pixel": k / d, "symmetric": k / np.sqrt(d * d.T)}[normalization]
        )
    q = _softmax(-unary)
    for _ in range(parameters.iterations):
        sums = parameters.w1 * kernels[0] @ q + parameters.w2 * kernels[1] @ q
        q = _softmax(-unary - np.einsum("lm,im->il", mu, sums))
    return q.reshape(logits.shape)


@pytest.mark.parametrize("size", [(9, 13), (7, 1), (1, 1), (26, 25)])  # the last: two tiles
@pytest.mark.parametrize("normalization", ["per_pixel", "symmetric"])
def test_exact_is_the_sum_over_all_pairs(size, normalization):
    logits, image = _picture(*size)
    q = _mean_field(logits, image, SMALL, normalization=normalization)
    assert q.dtype == jnp.float32
    expected = _brute_force(logits, image, SMALL, normalization=normalization)
    np.testing.assert_allclose(q, expected, atol=1e-4)
    if size != (1, 1):
        assert np.abs(expected - _softmax(logits)).max() > 0.1


def test_without_normalisation_it_equals_the_sum_of_the_paper():
    logits, image = _picture(6, 7)
    parameters = dataclasses.replace(SMALL, w1=0.3, w2=0.2)
    q = _mean_field(logits, image, parameters, normalization="none")
    expected = _brute_force(logits, image, parameters, normalization="none")
    np.testing.assert_allclose(q, expected, atol=1e-4)


def test_a_learned_compatibility_is_used_row_by_row():
    """The matrix is not symmetric, so that a transposed one would not pass."""
    logits, image = _picture(9, 13)
    mu = np.random.default_rng(1).normal(0, 1, (CLASSES, CLASSES))
    q = _mean_field(logits, image, SMALL, compatibility=mu)
    np.testing.assert_allclose(q, _brute_force(logits, image, SMALL, mu), atol=1e-4)
    potts = _mean_field(logits, image, SMALL, compatibility=1 - np.eye(CLASSES))
    np.testing.assert_allclose(potts, _mean_field(logits, image, SMALL), atol=1e-5)


def test_permuted_classes_give_permuted_q():
    logits, image = _picture(9, 13)
    order = np.array([2, 0, 3, 1])
    q = np.asarray(_mean_field(logits, image, SMALL))
    np.testing.assert_allclose(
        _mean_field(logits[..., order], image, SMALL), q[..., order], atol=1e-5
    )
    np.testing.assert_allclose(q.sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize("filter", crf.FILTERS)
def test_zero_weights_give_softmax(filter):
    logits, image = _picture(9, 13)
    parameters = dataclasses.replace(SMALL, w1=0, w2=0)
    q = _mean_field(logits, image, parameters, filter=filter)
    np.testing.assert_allclose(q, _softmax(logits), atol=1e-6)


@pytest.mark.parametrize("filter", crf.FILTERS)
def test_constant_logits_stay_constant_on_a_constant_image(filter):
    """Messages normalised per pixel are means: softmax(logits + (w1 + w2) Q) everywhere."""
    logits = np.broadcast_to(np.array([0.5, 0, -1, 0.2], np.float32), (9, 13, CLASSES))
    image = np.full((9, 13, 3), 77, np.uint8)
    q = _mean_field(logits, image, SMALL, filter=filter)
    expected = _softmax(logits)
    for _ in range(SMALL.iterations):
        expected = _softmax(logits + (SMALL.w1 + SMALL.w2) * expected)
    np.testing.assert_allclose(q, expected, atol=1e-5)


@pytest.mark.parametrize("filter", crf.FILTERS)
def test_a_batch_equals_its_images_one_by_one(filter):
    pairs = [_picture(9, 13, seed) for seed in range(2)]
    logits, images = (np.stack(x) for x in zip(*pairs, strict=True))
    q = _mean_field(logits, images, SMALL, filter=filter)
    assert q.shape == logits.shape
    for i, (one, image) in enumerate(pairs):
        np.testing.assert_allclose(q[i], _mean_field(one, image, SMALL, filter=filter), atol=1e-6)


@pytest.mark.parametrize("normalization", ["per_pixel", "symmetric"])
def test_the_lattice_is_close_to_the_exact_sum(normalization):
    """On a smooth picture, the measured mean |dQ| is 0.010, and 98 % of the labels are equal."""
    logits, image = _picture(26, 25)
    how = {"normalization": normalization}
    exact = _mean_field(logits, image, SMALL, **how)
    lattice = _mean_field(logits, image, SMALL, filter="lattice", **how)
    difference = np.abs(lattice - exact).mean()
    agree = (lattice.argmax(-1) == exact.argmax(-1)).mean()
    print(f"mean |dQ| {difference:.4f}, labels equal {agree:.3f}")
    assert difference < 0.02
    assert agree > 0.95
    assert np.abs(exact - _softmax(logits)).mean() > 5 * difference


def _framed(x, frame, fill):
    framed = np.full((*frame, x.shape[-1]), fill, x.dtype)
    framed[: x.shape[0], : x.shape[1]] = x
    return framed


@pytest.mark.parametrize("filter", crf.FILTERS)
@pytest.mark.parametrize("normalization", ["per_pixel", "symmetric"])
def test_a_padded_image_gives_the_same_as_the_image_alone(filter, normalization):
    """The padding has other colours and logits, which must have no effect."""
    height, width = 9, 13
    logits, image = _picture(height, width)
    how = {"normalization": normalization, "filter": filter}
    framed, frame = _framed(logits, (17, 16), 7), _framed(image, (17, 16), 250)
    run = jax.jit(
        lambda size: mean_field(framed, frame, SMALL, size=size, **how),
        compiler_options=QUICK,
    )
    q = np.asarray(run(np.array([height, width])))
    alone = _mean_field(logits, image, SMALL, **how)
    np.testing.assert_allclose(q[:height, :width], alone, atol=2e-6)
    np.testing.assert_allclose(q[height:], _softmax(framed[height:]), atol=1e-6)
    np.testing.assert_allclose(q[:, width:], _softmax(framed[:, width:]), atol=1e-6)


def test_images_of_several_sizes_in_a_batch():
    """Gradients are finite even where a kernel outside the image is 0 in float32."""
    sizes = [(5, 3), (3, 30)]
    parameters = dataclasses.replace(SMALL, theta_alpha=0.5)
    pictures = [_picture(*size, seed) for seed, size in enumerate(sizes)]
    logits, images = (
        np.stack([_framed(p[i], (5, 30), 0) for p in pictures]) for i in range(len(pictures[0]))
    )

    def first(parameters):
        q = mean_field(logits, images, parameters, size=np.array(sizes))
        return jnp.sum(q[..., 0]), q

    run = jax.jit(jax.grad(first, has_aux=True), compiler_options=QUICK)
    gradients, q = run(jax.tree.map(jnp.float32, parameters))
    for one, (height, width), (x, image) in zip(q, sizes, pictures, strict=True):
        expected = _brute_force(x, image, parameters)
        np.testing.assert_allclose(one[:height, :width], expected, atol=1e-4)
    assert all(np.isfinite(g) for g in jax.tree.leaves(gradients))


def test_too_few_lattice_points_give_nan():
    logits, image = _picture(9, 13)
    q = _mean_field(logits, image, SMALL, filter="lattice", lattice_points=5)
    assert np.isnan(q).all()


def test_gradients_are_finite_differences():
    """Checks logits, image, compatibility and each parameter along random directions in float64."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(3)
        logits, image = _picture(4, 5)
        image = np.clip(image, 1, 254).astype(np.float64)
        target = rng.normal(size=logits.shape)
        mu = 1 - np.eye(CLASSES) + rng.normal(0, 0.1, (CLASSES, CLASSES))
        parameters = jax.tree.map(jnp.float64, SMALL)

        def loss(point):
            logits, image, mu, parameters = point
            q = mean_field(logits, image, parameters, compatibility=mu, normalization="symmetric")
            return jnp.sum(q * target)

        point = (jnp.asarray(logits, jnp.float64), jnp.asarray(image), jnp.asarray(mu), parameters)
        leaves, tree = jax.tree.flatten(point)
        both = jax.jit(jax.value_and_grad(loss), compiler_options=QUICK)
        gradients = jax.tree.leaves(both(point)[1])
        for i, gradient in enumerate(gradients):
            way = rng.normal(size=gradient.shape)
            ends = []
            for sign in (1, -1):
                moved = [x + sign * 1e-5 * way if j == i else x for j, x in enumerate(leaves)]
                ends.append(both(tree.unflatten(moved))[0])
            slope = (ends[0] - ends[1]) / 2e-5
            assert abs(slope) > 1e-6
            np.testing.assert_allclose(np.sum(gradient * way), slope, rtol=1e-5, atol=1e-8)


def test_as_a_layer_its_weights_and_compatibility_are_trained():
    logits, image = _picture(12, 14)
    labels = np.asarray(np.argmax(_picture(12, 14, seed=5)[0][..., :3], -1))

    def loss(learned):
        mu, w1, w2 = learned
        parameters = dataclasses.replace(SMALL, w1=w1, w2=w2)
        q = mean_field(logits, image, parameters, compatibility=mu)
        chosen = jnp.take_along_axis(q, labels[..., None], axis=-1)
        return -jnp.mean(jnp.log(chosen + 1e-6))

    step = jax.jit(jax.value_and_grad(loss), compiler_options=QUICK)
    learned = (1 - jnp.eye(CLASSES), jnp.float32(1), jnp.float32(1))
    start = learned
    losses = []
    for _ in range(8):
        value, gradient = step(learned)
        losses.append(float(value))
        learned = jax.tree.map(lambda x, g: x - 0.2 * g, learned, gradient)
    assert losses[-1] < 0.9 * losses[0]
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(start, learned, strict=True))


def test_parameter_sets_are_those_of_the_sources():
    values = {name: dataclasses.astuple(p) for name, p in PARAMETERS.items()}
    assert values == {
        "deeplab_v1": (5, 50, 3, 3, 3, 10),
        "deeplab_v2": (4, 49, 5, 3, 3, 10),
        "kazuto": (4, 67, 3, 3, 1, 10),
        "deconvnet": (5, 20, 3, 3, 3, 10),
        "pydensecrf": (10, 80, 13, 3, 3, 5),
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"logits": np.zeros((3, 4))}, ("logits", "[H, W, K]")),
        ({"logits": np.zeros((0, 4, 2)), "image": np.zeros((0, 4, 3))}, ("logits", "empty")),
        ({"image": np.zeros((5, 4, 3))}, ("image", "(3, 4, 3)")),
        ({"image": np.full((3, 4, 3), -1.0)}, ("image", "0 to 255")),
        ({"image": np.full((3, 4, 3), np.nan)}, ("image", "0 to 255")),
        ({"compatibility": np.eye(3)}, ("compatibility", "(2, 2)")),
        ({"normalization": "pixel"}, ("normalization", "per_pixel, symmetric")),
        ({"lattice_points": 0, "filter": "lattice"}, ("lattice_points", "1, 2")),
        ({"size": (3, 5)}, ("size", "1, 1 to 3, 4")),
        ({"size": (3.0, 4.0)}, ("size", "integers (2,)")),
        ({"size": ((3, 4),)}, ("size", "(2,)")),
        ({"filter": "fast"}, ("filter", "exact, lattice")),
        ({"parameters": dataclasses.replace(SMALL, theta_beta=0)}, ("theta_beta", "above 0")),
        ({"parameters": dataclasses.replace(SMALL, iterations=-1)}, ("iterations", "0, 1")),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_invalid_input_gives_a_one_line_message(change, words):
    given = {"logits": np.zeros((3, 4, 2)), "image": np.zeros((3, 4, 3)), "parameters": SMALL}
    given |= change
    call = functools.partial(mean_field, *(given.pop(n) for n in ("logits", "image", "parameters")))
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        call(**given)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words)
