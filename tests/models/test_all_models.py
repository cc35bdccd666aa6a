"""Properties of every public model in a PUBLIC list: shapes, dtypes, parameter trees, gradients."""

import dataclasses
import functools
import importlib
import inspect
import pathlib
import pkgutil
import typing

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import config, models
from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.compute import PLAIN, Compute
from jaxseg.layers.norm import Norm
from jaxseg.layers.resize import resize_bilinear
from jaxseg.models.deeplab_v3 import DeepLabV3
from jaxseg.models.deeplab_v3_plus import DeepLabV3Plus
from jaxseg.types import Outputs
from tests.helpers.variables import random_variables
from tests.models.networks import QUICK, ThreeMaps, images, narrow

K = 5


def _declared():
    """Collects the PUBLIC lists of the test files of jaxseg.models."""
    found = {}
    for file in sorted(pathlib.Path(__file__).parent.glob("test_*.py")):
        if file.stem != "test_all_models":
            module = importlib.import_module(f"tests.models.{file.stem}")
            found |= getattr(module, "PUBLIC", {})
    return found


MODELS = _declared()
SMALL = {
    f"{name}-{number}": narrow(model)
    for name, made in MODELS.items()
    for number, model in enumerate(made)
}
# The fast suite has the first of each model, .ci/run the others.
EACH = pytest.mark.parametrize(
    "name",
    [name if name.endswith("-0") else pytest.param(name, marks=pytest.mark.slow) for name in SMALL],
)


def _public(module):
    """Returns the model classes and constructors of a module, without the modules they use."""
    for name, member in vars(module).items():
        if name.startswith("_") or getattr(member, "__module__", "") != module.__name__:
            continue
        made = member
        if inspect.isfunction(member):
            made = typing.get_type_hints(member).get("return")
        if not inspect.isclass(made) or not made.__module__.startswith("jaxseg.models."):
            continue
        if (
            issubclass(made, nn.Module)
            and inspect.get_annotations(made.__call__)["return"] == Outputs
        ):
            yield name


def test_no_public_model_is_left_out():
    names = [
        name
        for info in pkgutil.iter_modules(models.__path__)
        for name in _public(importlib.import_module(f"jaxseg.models.{info.name}"))
    ]
    assert sorted(names) == sorted(MODELS), "PUBLIC in tests/models/test_NAME.py names each"


def _is_head(output):
    """Returns whether an output has the size of the image, unlike coarse logits."""
    return output.endswith("logits") and not output.startswith("coarse_logits")


def _pads(backbone):
    """Returns whether maps of stride s may differ from ceil(n / s) pixels, as in Caffe."""
    return (
        any(getattr(backbone, "pool_paddings", ()))
        or getattr(backbone, "image_padding", 1) > 1
        or not getattr(backbone, "padding", True)
        or getattr(backbone, "ceil_pooling", False)
    )


def _without_norm(module):
    """Whether no statistics of a batch are kept: a frozen norm in its place would have some."""
    return module.norm.kind in ("none", "group") if hasattr(module, "norm") else False


@functools.cache
def _traced(name, size, **changes):
    """Returns the shapes of outputs and variables for images of a size and changed fields.

    Fields that the backbone also has are changed in both; only the backbone has an output stride.
    """
    model = SMALL[name]
    if _without_norm(model):
        changes.pop("norm", None)  # a norm would add parameters
    fields = {field: value for field, value in changes.items() if hasattr(model, field)}
    if hasattr(model, "backbone"):
        its = {field: value for field, value in changes.items() if hasattr(model.backbone, field)}
        if _without_norm(model.backbone):
            its.pop("norm", None)
        fields["backbone"] = model.backbone.clone(**its)
    if getattr(model, "neck", None) and "compute" in changes:
        fields["neck"] = model.neck.clone(compute=changes["compute"])
    model = model.clone(**fields)
    x = jnp.zeros((2, *size, 3))
    return jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), x, train=False))


ANOTHER_WAY = {
    "output_stride": 4,
    "compute": Compute("bfloat16", "plain"),
    "norm": Norm("frozen"),
    "remat": True,
}


@EACH
@pytest.mark.newest
def test_logits_are_float32_at_the_size_of_any_image(name):
    model = SMALL[name]
    heads = {"logits"} | ({"aux_logits"} if getattr(model, "aux_features", 0) else set())
    heads |= {"presence_logits"} if getattr(model, "se_loss", False) else set()
    for size, changes in (((50, 33), {}), ((1, 6), ANOTHER_WAY)):
        outputs, _ = _traced(name, size, **changes)
        assert {output for output in outputs if _is_head(output)} == heads
        if hasattr(model, "backbone") and not _pads(model.backbone):
            stride = changes.get("output_stride", model.backbone.output_stride)
            assert outputs["features"].shape[1:3] == tuple(-(-n // stride) for n in size)
        for key, output in outputs.items():
            if key in heads:
                assert output.shape == ((2, K) if key == "presence_logits" else (2, *size, K))
                assert output.dtype == jnp.float32
            elif key.startswith("coarse_logits"):
                assert (output.ndim, output.shape[-1], output.dtype) == (4, K, jnp.float32)
            else:
                assert output.dtype == jnp.dtype(changes.get("compute", Compute()).dtype), key


@EACH
def test_the_parameter_tree_does_not_depend_on_how_it_is_computed(name):
    """Size, output stride, dtype, remat, form and frozen statistics leave it unchanged."""
    _, reference = _traced(name, (50, 33))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(reference)} == {"float32"}
    assert _traced(name, (1, 6), **ANOTHER_WAY)[1] == reference


@EACH
@pytest.mark.slow
def test_a_network_computes_in_float64(name):
    """As parity tests with other libraries do; annotated shapes and dtypes are checked here."""
    with jax.enable_x64(True):
        outputs, _ = _traced(name, (50, 33), compute=Compute("float64"))
    assert {output.dtype.name for output in outputs.values()} == {"float64"}


def _check_gradients(model):
    """Checks that gradients are finite and nonzero; returns old and new batch statistics."""
    variables = random_variables(model)
    x = images((33, 42), batch=2)

    @functools.partial(jax.jit, compiler_options=QUICK)
    def step(params, x):
        def loss(params):
            outputs, updates = model.apply(
                variables | {"params": params}, x, train=True, mutable=["batch_stats"]
            )
            logits = [value for name, value in outputs.items() if _is_head(name)]
            of_each = [
                jnp.mean(value * jnp.sin(jnp.arange(value.size)).reshape(value.shape))
                for value in logits
            ]
            coarse = {name: outputs.get(name) for name in ("logits", "coarse_logits")}
            return sum(of_each), (updates.get("batch_stats", {}), coarse)

        return jax.grad(loss, has_aux=True)(params)

    gradients, (statistics, coarse) = step(variables["params"], x)
    if hasattr(model, "resize_convention") and coarse["coarse_logits"] is not None:
        upsampled = resize_bilinear(
            coarse["coarse_logits"], (33, 42), convention=model.resize_convention
        )
        np.testing.assert_allclose(upsampled, coarse["logits"], rtol=1e-4, atol=1e-4)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        where = jax.tree_util.keystr(path)
        assert np.isfinite(leaf).all(), where
        assert np.abs(leaf).max() > 0, where
    return variables.get("batch_stats", {}), statistics


def _without_dropout(model):
    """Removes dropout, which affects no parameter and takes seconds to compile."""
    return config.with_fields(model, {"compute": PLAIN, "dropout": 0.0, "aux_dropout": 0.0})


@EACH
def test_every_parameter_of_a_head_gets_a_gradient(name):
    """Statistics are frozen, which halves the compilation time."""
    model = _without_dropout(SMALL[name])
    changes = {"skips": ("stage3", "stage1"), "atrous_rates": (2,), "fc6_padding": None}
    if isinstance(model, DeepLabV3Plus):
        changes["decoder"] = dataclasses.replace(model.decoder, low_level="stage1")
    changes |= {} if _without_norm(model) else {"norm": Norm("frozen")}
    changes = {field: value for field, value in changes.items() if hasattr(model, field)}
    if hasattr(model, "backbone"):
        changes["backbone"] = ThreeMaps()
    _check_gradients(model.clone(**changes))


def test_a_training_step_reaches_every_parameter_and_statistic():
    """The model is complete, with one basic unit per stage."""
    model = DeepLabV3(K, ResNet(depth=18, stage_units=(1, 1, 1, 1)), atrous_rates=(2,))
    old, new = _check_gradients(_without_dropout(narrow(model)))
    for (path, before), after in zip(
        jax.tree_util.tree_leaves_with_path(old), jax.tree.leaves(new), strict=True
    ):
        assert np.isfinite(after).all(), jax.tree_util.keystr(path)
        assert not np.array_equal(before, after), jax.tree_util.keystr(path)
