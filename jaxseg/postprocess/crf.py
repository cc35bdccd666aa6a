"""The fully connected CRF: "Efficient inference in fully connected CRFs with Gaussian edge
potentials" (Kraehenbuehl and Koltun, arXiv 1210.5644), by mean field.

    E(x) = sum_i psi_u(x_i) + sum_{i<j} mu(x_i, x_j) sum_m w_m k_m(f_i, f_j)
    k_1 = exp(-|p_i - p_j|^2 / (2 theta_alpha^2) - |I_i - I_j|^2 / (2 theta_beta^2))  appearance
    k_2 = exp(-|p_i - p_j|^2 / (2 theta_gamma^2))                                     smoothness

`mean_field` is a pure function of arrays, to be used after a network or, through its gradients, as
a layer: the iterations are unrolled.

Departure: a pixel's message to itself (j = i) is included, as in the authors' code and everything
built on it; it adds w_m Q_i divided by the normalisation, which the published weights rely on.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Float, Integer, Num

from jaxseg.postprocess.appearance import appearance_features, inside_frame
from jaxseg.postprocess.crf_parameters import PARAMETERS, CRFParameters
from jaxseg.postprocess.gaussian_sum import gaussian_sum, rounding_radius, separable_gaussian_sum
from jaxseg.postprocess.permutohedral import Lattice, build_lattice, lattice_sum
from jaxseg.types import Array, ArrayLike, Number

__all__ = ["FILTERS", "NORMALIZATIONS", "PARAMETERS", "CRFParameters", "mean_field"]

NORMALIZATIONS = ("per_pixel", "symmetric", "none")
FILTERS = ("exact", "lattice")

Filter = Callable[[Array], Array]  # values [H, W, C] -> K values


def _normalised(total: Filter, inside: Array, how: str) -> Filter:
    """Returns the normalised filter, with D = K 1, where 1 marks the pixels inside the image."""
    if how == "none":
        return total
    norm = jnp.where(inside > 0, total(inside), 1)  # [H, W, 1]
    if how == "per_pixel":
        return lambda values: total(values) / norm
    root = jax.lax.rsqrt(norm)
    return lambda values: root * total(root * values)


def _check(logits: Array, image: Array, normalization: str, filter: str) -> None:
    if logits.ndim not in (3, 4):
        raise ValueError(f"logits: shape {logits.shape}; [H, W, K] or [B, H, W, K] is allowed")
    if 0 in logits.shape:
        raise ValueError(f"logits: shape {logits.shape}; no axis may be empty")
    if image.shape != (*logits.shape[:-1], 3):
        raise ValueError(f"image: shape {image.shape}; {(*logits.shape[:-1], 3)} fits the logits")
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"normalization: {normalization!r}; allowed: {', '.join(NORMALIZATIONS)}")
    if filter not in FILTERS:
        raise ValueError(f"filter: {filter!r}; allowed: {', '.join(FILTERS)}")
    if not isinstance(image, jax.core.Tracer):
        low, high = float(jnp.min(image)), float(jnp.max(image))
        if not (low >= 0 and high <= 255):
            raise ValueError(f"image: values from {low:g} to {high:g}; 0 to 255 is allowed")


def _check_size(size: Array, shape: tuple[int, ...]) -> None:
    wanted = (*shape[:-3], 2)
    if size.shape != wanted or not jnp.issubdtype(size.dtype, jnp.integer):
        raise ValueError(f"size: {size.dtype} {size.shape}; integers {wanted} fit the logits")
    if isinstance(size, jax.core.Tracer):
        return
    if np.any((np.asarray(size) < 1) | (np.asarray(size) > np.array(shape[-3:-1]))):
        raise ValueError(f"size: {size.tolist()}; 1, 1 to {shape[-3]}, {shape[-2]} is allowed")


def _check_parameters(parameters: CRFParameters) -> None:
    for name in ("theta_alpha", "theta_beta", "theta_gamma"):
        value = getattr(parameters, name)
        if not isinstance(value, jax.core.Tracer) and not float(value) > 0:
            raise ValueError(f"parameters.{name}: {value}; a number above 0 is allowed")
    if not isinstance(parameters.iterations, int) or parameters.iterations < 0:
        raise ValueError(f"parameters.iterations: {parameters.iterations}; 0, 1, 2, ... is allowed")


def _check_lattice(parameters: CRFParameters, points: int | None) -> None:
    if points is not None and points < 1:
        raise ValueError(f"lattice_points: {points}; 1, 2, ... or None is allowed")
    for name in ("theta_alpha", "theta_beta"):
        if isinstance(getattr(parameters, name), jax.core.Tracer):
            raise ValueError(f"parameters.{name}: traced; filter='lattice' needs a number")


def mean_field(
    logits: Float[ArrayLike, "*b h w k"],
    image: Num[ArrayLike, "*b h w 3"],
    parameters: CRFParameters,
    *,
    compatibility: Num[ArrayLike, "k k"] | None = None,
    normalization: str = "per_pixel",
    filter: str = "exact",
    lattice_points: int | None = None,
    size: Integer[ArrayLike, "*b 2"] | tuple[int, int] | None = None,
) -> Float[Array, "*b h w k"]:
    """Mean field inference in the fully connected CRF with unary potentials -log softmax(logits).

    Q is initialised to softmax(logits). Each iteration (Algorithm 1 of the paper, with all pixels
    updated in parallel) computes:

        Q~_m(i, l) = sum_j k_m(i, j) Q(j, l)                  message passing
        Q^(i, l) = sum_l' mu(l, l') sum_m w_m Q~_m(i, l')     compatibility transform
        Q(i, l) = softmax_l(logits(i, l) - Q^(i, l))          local update

    It is differentiable by reverse mode in logits, compatibility and the parameters, and with the
    exact filter also in the image.

    Args:
      logits: of one image, or of a batch, whose images are processed one after the other. DeepLab's
        CRF takes them after bilinear upsampling to the image's size.
      image: RGB (the order of the channels has no effect), 0..255.
      parameters: one of `PARAMETERS`, or others.
      compatibility: mu, with row l for Q^(l); None is the Potts model, [l != l'].
      normalization: of each kernel, with D = K 1: "per_pixel", K Q / D (DeepLab); "symmetric",
        D^-1/2 K D^-1/2 Q (pydensecrf's default); or "none" (the paper's equations).
      filter: of the appearance kernel: "exact", all pairs of pixels, in time proportional to
        (H W)^2, or "lattice", the permutohedral lattice, an approximation in linear time without
        gradients to the image, theta_alpha and theta_beta. The smoothness kernel is always exact.
      lattice_points: the maximum number of lattice points; if there are more, Q is NaN. None means
        the number of points of the image, rounded up so that few programs are compiled, or 6 H W if
        the image is traced.
      size: (height, width) of the image, if it is padded at the bottom and right. Padding is
        ignored, and Q there is softmax(logits). One program then serves all images padded to the
        same size.

    Returns:
      Q, in at least float32; it sums to 1 over the classes.

    Raises:
      ValueError: a shape, an option, the range of the image or a parameter is invalid.
    """
    logits, image = jnp.asarray(logits), jnp.asarray(image)
    _check(logits, image, normalization, filter)
    _check_parameters(parameters)
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    image = image.astype(logits.dtype)
    classes = logits.shape[-1]
    if compatibility is not None:
        compatibility = jnp.asarray(compatibility, logits.dtype)
        if compatibility.shape != (classes, classes):
            raise ValueError(
                f"compatibility: shape {compatibility.shape}; {(classes, classes)} fits the logits"
            )
    if size is not None:
        size = jnp.asarray(size)
        _check_size(size, logits.shape)
        size = size.astype(jnp.int32)
    radius = _radius(parameters.theta_gamma, logits.dtype)
    if filter == "exact":
        exact = functools.partial(_exact, parameters, compatibility, normalization, radius)
        if logits.ndim == 4:
            return jax.lax.map(lambda one: exact(*one), (logits, image, size))
        return exact(logits, image, size)
    _check_lattice(parameters, lattice_points)
    lattice = functools.partial(
        _approximate, parameters, compatibility, normalization, radius, lattice_points
    )
    if logits.ndim == 3:
        return lattice(logits, image, size)
    sizes = [None] * len(logits) if size is None else size
    return jnp.stack([lattice(*one) for one in zip(logits, image, sizes, strict=True)])


def _radius(theta: Number, dtype: jnp.dtype) -> int | None:
    """Returns the radius of the smoothness kernel, if truncation saves time and is allowed."""
    if isinstance(theta, jax.core.Tracer) or dtype != jnp.float32:
        return None
    return rounding_radius(float(theta)) if jax.default_backend() == "cpu" else None


@functools.partial(jax.jit, static_argnums=(2, 3))
def _exact(
    parameters: CRFParameters,
    compatibility: Array | None,
    normalization: str,
    radius: int | None,
    logits: Array,
    image: Array,
    size: Array | None,
) -> Array:
    """Mean field of one image with the exact filter."""
    height, width, _ = logits.shape
    features = appearance_features(image, parameters.theta_alpha, parameters.theta_beta, size)
    features = features.reshape(height * width, -1)

    def appearance(values: Array) -> Array:
        sums = gaussian_sum(features, values.reshape(height * width, -1))
        return sums.reshape(values.shape)

    return _iterate(parameters, compatibility, normalization, radius, logits, size, appearance)


def _approximate(
    parameters: CRFParameters,
    compatibility: Array | None,
    normalization: str,
    radius: int | None,
    points: int | None,
    logits: Array,
    image: Array,
    size: Array | None,
) -> Array:
    """Mean field of one image with the permutohedral lattice."""
    height, width, _ = logits.shape
    alpha, beta = float(parameters.theta_alpha), float(parameters.theta_beta)
    features = appearance_features(image, alpha, beta, size).reshape(height * width, -1)
    bounds = (width / 2 / alpha, height / 2 / alpha, *[255 / beta] * 3)
    lattice = build_lattice(jax.lax.stop_gradient(features), bounds, points)
    return _on_lattice(parameters, compatibility, normalization, radius, lattice, logits, size)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _on_lattice(
    parameters: CRFParameters,
    compatibility: Array | None,
    normalization: str,
    radius: int | None,
    lattice: Lattice,
    logits: Array,
    size: Array | None,
) -> Array:
    def appearance(values: Array) -> Array:
        sums = lattice_sum(lattice, values.reshape(-1, values.shape[-1]))
        return sums.reshape(values.shape)

    return _iterate(parameters, compatibility, normalization, radius, logits, size, appearance)


def _iterate(
    parameters: CRFParameters,
    compatibility: Array | None,
    normalization: str,
    radius: int | None,
    logits: Array,
    size: Array | None,
    appearance: Filter,
) -> Array:
    """Runs all iterations with a filter for the appearance kernel."""
    smoothness = functools.partial(
        separable_gaussian_sum, theta=parameters.theta_gamma, radius=radius
    )
    frame = (logits.shape[0], logits.shape[1])
    inside = jnp.ones((*frame, 1), bool) if size is None else inside_frame(size, *frame)
    ones = inside.astype(logits.dtype)
    kernels = [
        (parameters.w1, _normalised(appearance, ones, normalization)),
        (parameters.w2, _normalised(smoothness, ones, normalization)),
    ]

    def softmax(scores: Array) -> Array:
        """Softmax that is zero outside the image, so that padding sends no messages."""
        q = jax.nn.softmax(scores)
        return q if size is None else jnp.where(inside, q, 0)

    def step(q: Array, _: None) -> tuple[Array, None]:
        messages = [(w, checkpoint_name(k(q), "message")) for w, k in kernels]
        message = sum((w * m for w, m in messages), jnp.zeros((), q.dtype))  # [H, W, K]
        if compatibility is None:  # Potts: the sum over all classes is the same for each
            return softmax(logits + message), None
        penalty = jnp.einsum("lm,hwm->hwl", compatibility, message, precision="highest")
        return softmax(logits - penalty), None

    # The gradient stores Q and the messages of each iteration, and recomputes the rest.
    keep = jax.checkpoint_policies.save_only_these_names("message")
    step = jax.checkpoint(step, policy=keep)
    q, _ = jax.lax.scan(step, softmax(logits), None, length=parameters.iterations)
    return q if size is None else jnp.where(inside, q, jax.nn.softmax(logits))
