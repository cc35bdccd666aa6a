"""The operations that `operations` measures: arguments, forms and the project's targets on CPU."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import work
from jaxseg import losses
from jaxseg.layers.conv import conv
from jaxseg.layers.pool import max_pool
from jaxseg.layers.resize import resize_bilinear
from jaxseg.metrics import confusion_matrix

_FORMS = ("plain", "fast", "auto")
_MAPS, _RATES = (17, 33, 65), (1, 2, 4, 6, 12, 18, 24, 36)
# ResNet-50 on images of 256: (size of the map, channels, rate) of its 3x3 convolutions.
_RESNET = ((64, 64, 1), (32, 128, 1), (16, 256, 1), (16, 512, 2))
_CROP = 513

Form = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Operation:
    """One operation on given arrays in several forms; "auto" is compared with `base`."""

    name: str
    arguments: tuple[Any, ...]
    forms: Mapping[str, Form]
    base: str = "plain"
    # pass ("value", "gradient", "both") -> maximum time of auto relative to the base
    targets: Mapping[str, float] = dataclasses.field(default_factory=dict)
    differentiable: bool = True


def _draw(dtype: str, *shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype)


def _convolution(
    name: str, shape: tuple[int, ...], features: int, dtype: str, target: float | None, **how: int
) -> Operation:
    """A 3x3 convolution unless `how` differs; the target applies to value and gradients."""
    size, groups = how.pop("size", 3), how.get("groups", 1)
    kernel = _draw(dtype, size, size, shape[3] // groups, features)
    kernel /= (size * size * shape[3] // groups) ** 0.5
    forms = {form: functools.partial(conv, form=form, **how) for form in _FORMS}  # type: ignore[arg-type]
    targets = {} if target is None else {"both": target}
    return Operation(name, (_draw(dtype, *shape), kernel), forms, targets=targets)


def _resize(name: str, shape: tuple[int, ...], size: int, dtype: str) -> Operation:
    result = (shape[0], size, size, shape[3])
    resized = functools.partial(resize_bilinear, size=(size, size), convention="half_pixel")
    forms: dict[str, Form] = {form: functools.partial(resized, form=form) for form in _FORMS}
    forms["jax.image"] = lambda x: jax.image.resize(x, result, "bilinear", antialias=False)
    targets = {"value": 0.25, "gradient": 1.1}
    return Operation(name, (_draw(dtype, *shape),), forms, "jax.image", targets)


def _max_pool(name: str, shape: tuple[int, ...], dtype: str) -> Operation:
    forms = {form: lambda x, form=form: max_pool(x, 3, 2, 1, form=form) for form in _FORMS}
    return Operation(name, (_draw(dtype, *shape),), forms)


def _labels(batch: int, seed: int) -> jax.Array:
    shape = batch, _CROP, _CROP
    return jnp.asarray(np.random.default_rng(seed).integers(0, work.NUM_CLASSES, shape, np.int32))


def _confusion(name: str, batch: int) -> Operation:
    classes = work.NUM_CLASSES

    def on_host(labels: jax.Array, predictions: jax.Array) -> np.ndarray:
        truth, guess = np.asarray(labels).ravel(), np.asarray(predictions).ravel()
        pairs = (truth * classes + guess)[(truth >= 0) & (truth < classes)]
        return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    on_host.on_host = True  # type: ignore[attr-defined]  # not to be compiled
    forms: dict[str, Form] = {"numpy": on_host}
    for form in ("bincount", "matmul", "auto"):
        forms[form] = functools.partial(confusion_matrix, num_classes=classes, form=form)
    arguments = _labels(batch, 0), _labels(batch, 1)
    return Operation(name, arguments, forms, "numpy", {"value": 2.0}, differentiable=False)


def _loss(name: str, batch: int) -> Operation:
    """Cross-entropy of each pixel, with its gradient with respect to the logits."""
    labels = _labels(batch, 0)

    def own(logits: jax.Array, labels: jax.Array) -> jax.Array:
        return losses.cross_entropy(logits, labels, labels != work.IGNORE)

    def gather(logits: jax.Array, labels: jax.Array) -> jax.Array:
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], axis=-1)[..., 0]

    def one_hot(logits: jax.Array, labels: jax.Array) -> jax.Array:
        hot = jax.nn.one_hot(labels, work.NUM_CLASSES)
        return jax.nn.logsumexp(logits, axis=-1) - jnp.sum(logits * hot, axis=-1)

    forms = {"gather": gather, "one-hot": one_hot, "auto": own}
    logits = _draw("float32", batch, _CROP, _CROP, work.NUM_CLASSES)
    return Operation(name, (logits, labels), forms, "gather")


def operations(batch: int, channels: int, dtype: str) -> dict[str, Callable[[], Operation]]:
    """Name -> a function that builds the operation with arrays; targets are the project's on CPU.

    Args:
      batch: number of images.
      channels: input and output channels of the atrous convolutions.
      dtype: of all arrays except logits.
    """
    made: dict[str, Callable[[], Operation]] = {}

    def add(name: str, maker: Callable[..., Operation], *arguments: Any, **how: Any) -> None:
        made[name] = functools.partial(maker, name, *arguments, **how)

    for size in _MAPS:
        for rate in _RATES:
            target = 0.75 if size == 33 and rate >= 12 else 1.05
            shape = batch, size, size, channels
            name = f"atrous {size}x{size} rate {rate}"
            add(name, _convolution, shape, channels, dtype, target, rate=rate)
    for size, width, rate in _RESNET:
        shape, name = (batch, size, size, width), f"resnet {size}x{size}x{width} rate {rate}"
        add(name, _convolution, shape, width, dtype, 1.05, rate=rate)
    for size, width, features in ((33, 2048, 256), (129, 64, 256)):
        shape, name = (batch, size, size, width), f"1x1 {size}x{size} {width} to {features}"
        add(name, _convolution, shape, features, dtype, 1.05, size=1)
    for size, width, rate, stride in (
        *((65, 256, 1, 1), (65, 256, 1, 2), (65, 256, 2, 1), (65, 256, 4, 1)),
        *((33, 2048, 6, 1), (33, 2048, 12, 1), (33, 2048, 18, 1)),
    ):
        shape = batch, size, size, width
        name = f"depthwise {size}x{size}x{width} rate {rate} stride {stride}"
        how = {"rate": rate, "stride": stride, "groups": width}
        add(name, _convolution, shape, width, dtype, 0.35, **how)
    for inputs, outputs, width in ((33, 129, 256), (33, 513, 21), (129, 513, 21), (129, 33, 256)):
        name = f"resize {inputs} to {outputs}, {width} channels"
        add(name, _resize, (batch, inputs, inputs, width), outputs, dtype)
    add("max pool 3x3 stride 2", _max_pool, (batch, 128, 128, 64), dtype)
    add(f"confusion matrix {_CROP}x{_CROP}", _confusion, batch)
    add(f"loss {_CROP}x{_CROP}", _loss, batch)
    return made
