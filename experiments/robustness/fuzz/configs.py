"""Experiments with arbitrary field values, up to the point where the first step would run."""

import dataclasses
import functools
import pathlib
import types
import typing
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from experiments.robustness.faults import small
from jaxseg import config
from jaxseg.backbones import resnet, vgg
from jaxseg.checks import experiment as checks
from jaxseg.data import class_sampling, loader
from jaxseg.data.augment.transforms import Transform
from jaxseg.inference import infer
from jaxseg.inference.predictor import framing_of
from jaxseg.inspection import valid_taps
from jaxseg.models import deeplab_v3, fcn, pspnet, unet
from jaxseg.runtime.mesh import make_mesh
from jaxseg.training import batches, preflight, step
from jaxseg.workdir import eval_folder

NAME = "shapes/fuzz"
_LARGEST = 300  # side of an image for which arrays are created, not only shapes
_WORDS = [
    *("", "auto", "plain", "fast", "batch", "group", "frozen", "none", "mean", "mirror", "zero"),
    *("sgd", "adamw", "poly", "step", "constant", "pixels", "images", "logits", "max", "train"),
    *("val", "shapes", NAME, "folder/x", "deeplab_v2", "1,2,3,4,5,6", "1,2,3,4,5,nan", "lattice"),
    *("exact", "float32", "bfloat16", "float64", "align_corners", "half_pixel", "disc", "7x7"),
    *("3x3x3", "first_3x3", "max_unpooling", "deconvolution", "learned", "é\n", "a/../b", "(", "."),
]


def experiment(data_dir: pathlib.Path) -> config.Experiment:
    """The small run of the fault drills, without augmentation, on the drawn data set."""
    base = small.get_config()
    base.data = dataclasses.replace(base.data, name=NAME, data_dir=str(data_dir), threads=0)
    return base


_MODELS: list[nn.Module] = [
    *[small.get_config().model] * 36,  # the others are slow to trace
    unet.UNet(7, width=4, levels=2),
    fcn.FCN(7, vgg.VGG(width=4), head_features=8),
    deeplab_v3.DeepLabV3(7, resnet.ResNet(18, width=4), atrous_rates=(1, 2), aspp_features=8),
    pspnet.PSPNet(7, resnet.ResNet(18, width=4, output_stride=8), head_features=8, aux_features=8),
]


def _numbers() -> st.SearchStrategy[Any]:
    likely = st.sampled_from([0, 1, 2, 3, 4, 7, 8, 16, 32, 64, 65, 100, 255, 513, -1])
    shares = st.sampled_from([0.0, 0.1, 0.5, 0.9, 0.999, 1.0, 1.5, 2.0, -0.5, 1e-9, 1e9])
    return likely | shares | st.integers() | st.floats()


def _of(kind: Any) -> st.SearchStrategy[Any]:
    """Values of an annotated type: likely ones and arbitrary ones."""
    arguments = typing.get_args(kind)
    if isinstance(kind, types.UnionType):
        return st.one_of(*map(_of, arguments))
    if typing.get_origin(kind) is tuple:
        if arguments[-1] is Ellipsis:
            return st.lists(_of(arguments[0]), max_size=8).map(tuple)
        return st.tuples(*map(_of, arguments))
    if kind is bool:
        return st.booleans()
    if kind is int:
        likely = st.sampled_from([0, 1, 2, 3, 4, 5, 7, 8, 16, 32, 64, 65, 96, -1])
        return likely | likely | likely | st.integers()
    if kind is float:
        return _numbers().map(lambda x: float(x) if abs(x) < 1e300 else float("inf"))
    if kind is str:
        return st.sampled_from(_WORDS) | st.text(max_size=6)
    return st.none()


def _any() -> st.SearchStrategy[Any]:
    """Values that the command line parses from unsuitable text: a number, a word, a tuple."""
    one = _numbers() | st.sampled_from(_WORDS) | st.booleans() | st.none()
    return one | st.lists(one, max_size=4).map(tuple)


def _paths(node: Any, prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for field in config.fields_of(node):
        value = getattr(node, field.name)
        path = f"{prefix}{field.name}"
        if dataclasses.is_dataclass(value):
            found += _paths(value, f"{path}.")
        found.append((path, field.type))
    return found


def with_value(node: Any, path: str, value: Any) -> Any:
    """The tree with one field set, such as "optim.learning_rate"."""
    if not dataclasses.is_dataclass(node) or isinstance(node, type):
        return node  # the part has been replaced by another value
    name, _, rest = path.partition(".")
    inner = with_value(getattr(node, name), rest, value) if rest else value
    if isinstance(node, nn.Module):
        return node.clone(**{name: inner})
    return dataclasses.replace(node, **{name: inner})


@st.composite
def changes(draw: st.DrawFn) -> tuple[nn.Module, list[tuple[str, Any]]]:
    """Draws a model and values for one to four fields of the experiment."""
    model = draw(st.sampled_from(_MODELS))
    paths = dict(_paths(config.Experiment(model=model)))
    chosen = draw(st.lists(st.sampled_from(sorted(paths)), min_size=1, max_size=3, unique=True))
    # A part comes before its own fields, which may not exist once it is replaced.
    kinds = [(path, paths[path]) for path in sorted(chosen)]
    return model, [(p, draw(_of(k) | _of(k) | _of(k) | _any())) for p, k in kinds]


class Runs:
    """Takes experiments to their first step; parts that passed once are not checked again."""

    def __init__(self, data_dir: pathlib.Path) -> None:
        self._base = experiment(data_dir)
        self._good: set[str] = set()
        self._open = functools.lru_cache(maxsize=64)(loader.open_split)

    def build(self, model: nn.Module, values: list[tuple[str, Any]]) -> None:
        """Does everything that precedes the first step of training, with shapes in place of arrays.

        Raises:
          ValueError, OSError: the experiment is refused.
        """
        tree: Any = dataclasses.replace(self._base, model=model)
        for path, value in values:
            tree = with_value(tree, path, value)
        checks.check(tree)
        checks.check(tree, "train")
        self._train(tree)

    def _once(self, what: str, parts: tuple[Any, ...], do: Callable[[], object]) -> None:
        key = f"{what} {parts!r}"
        if key not in self._good:
            do()
            self._good.add(key)

    def _train(self, e: config.Experiment) -> None:
        data = e.data
        training = self._open(data.name, data.train_split, data.data_dir)
        test = self._open(data.name, data.eval_split, data.data_dir)
        mesh = make_mesh(e.train.rows)
        seen = (e.model, data.crop_size, e.train.seed)
        self._once(
            "check",
            (*seen, e.loss, e.eval, e.train, data.batch_size, data.name),
            lambda: preflight.check(e, training, test, mesh),
        )
        plan = class_sampling.make_plan(training, duplicate=data.duplicate, balance=data.balance)
        self._once("views", (data, e.loss.boundary, e.loss.boundary_sigma), lambda: _views(e))
        part = e.train.accumulate, e.train.ema_decay, e.train.steps
        shapes = (
            e.model,
            data.crop_size,
            data.batch_size,
            e.loss,
            e.optim,
            data.normalisation,
        )
        self._once("step", shapes + part, lambda: _step(e))
        self._once("batch", (data, e.loss, e.train.seed), lambda: _batch(e, training, plan, mesh))
        self._once("evaluation", (e.model, e.eval), lambda: _evaluation(e, test))
        eval_folder.tag(data.eval_split, e.eval)


def _views(e: config.Experiment) -> None:
    loss, pixels = e.loss, e.data.normalisation
    Transform(e.data.crop_size, e.data.augment, pixels.mean, loss.boundary, loss.boundary_sigma)


def _step(e: config.Experiment) -> None:
    optimizer, rate = step.make_optimizer(e)
    state = jax.eval_shape(functools.partial(step.init_state, e, optimizer))
    height, width = e.data.crop_size
    b = e.data.batch_size
    batch = {
        "image": jax.ShapeDtypeStruct((b, height, width, 3), jnp.uint8),
        "label": jax.ShapeDtypeStruct((b, height, width), jnp.uint8),
    }
    if e.loss.boundary:
        batch["weight"] = jax.ShapeDtypeStruct((b, height, width), jnp.float32)
    jax.eval_shape(step.make_train_step(e, optimizer, rate), state, batch)


def _batch(
    e: config.Experiment, training: loader.Source, plan: class_sampling.Plan, mesh: Mesh
) -> None:
    """One batch as the loop receives it, if it is small."""
    data = e.data
    if max(*data.crop_size, data.batch_size) > _LARGEST or max(data.augment.scale_range) > 4:
        return
    if data.threads > 8 or data.prefetch > 64:
        return
    next(batches.on_devices(e, training, plan, mesh, None))


def _evaluation(e: config.Experiment, test: loader.Source) -> None:
    """The shapes of the predictions of one batch, and the lines on unreachable rates."""
    frame = framing_of(e).of(test.largest)
    predict = infer.make_predictions(
        e.model,
        e.eval,
        e.data.normalisation,
        test.labels.num_classes,
    )
    seen = e.eval.crop_size if e.eval.sliding else frame
    if (
        max(*frame, *seen, *e.data.crop_size, e.eval.long_side, 2 * e.eval.short_side) > _LARGEST
        or e.eval.margin > 64
    ):
        return
    if max(e.eval.scales) > 4 or len(e.eval.scales) * e.eval.rotations > 16:
        return
    valid_taps.unreached(e.model, e.data.crop_size, seen)
    _, variables = jax.eval_shape(functools.partial(step.init_variables, e))
    images = jax.ShapeDtypeStruct((1, *frame, 3), jnp.uint8)
    jax.eval_shape(predict, variables, images)
