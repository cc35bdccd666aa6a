"""Small networks, and parameter counts of large ones, shared by the tests of models."""

import dataclasses
import functools
from fractions import Fraction

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxseg.backbones.mobilenet_v2 import MobileNetV2
from jaxseg.backbones.resnet import ResNet
from jaxseg.backbones.xception import Xception
from jaxseg.layers.compute import PLAIN
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.layers.grid import Grid
from jaxseg.layers.norm import Norm
from jaxseg.models.deeplab_v3_plus import DeepLabV3Plus
from jaxseg.models.panoptic_fpn import SemanticFPN
from tests.helpers.variables import count, shapes_of

# Compilation takes far longer than execution here.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
FEW_FEATURES = {
    "aspp_features": 8,
    "aux_features": 4,
    "head_features": 8,
    "msc_features": 4,
    "step_features": (4,) * 5,
}


def narrow(model):
    """Returns the model with few features in every layer; a field that is 0 stays 0."""
    if not hasattr(model, "backbone"):
        return model.clone(width=4)
    fields = {name: value for name, value in FEW_FEATURES.items() if getattr(model, name, 0)}
    if isinstance(model, DeepLabV3Plus):
        fields["decoder"] = dataclasses.replace(model.decoder, low_level_features=4, features=8)
    if isinstance(model, SemanticFPN):
        fields["neck"] = model.neck.clone(features=8)
        fields["norm"] = dataclasses.replace(model.norm, groups=4)
    width = {MobileNetV2: 0.1, Xception: 0.01}.get(type(model.backbone), 4)
    return model.clone(backbone=model.backbone.clone(width=width), **fields)


def images(size, batch=1, seed=0):
    """Random images of about unit variance."""
    return np.random.default_rng(seed).normal(size=(batch, *size, 3)).astype(np.float32)


class EndPoints(nn.Module):
    """Returns zeros in the shapes of a backbone's end points, to trace a head without it."""

    output_stride: int
    shapes: dict[str, tuple[int, ...]]

    def __call__(self, x, *, train):
        return {name: jnp.zeros(shape) for name, shape in self.shapes.items()}


@functools.cache
def _traced(backbone):
    """Returns the backbone's parameter count and end point shapes for an image of 33 x 33."""
    x = jnp.zeros((1, 33, 33, 3))
    ends, variables = jax.eval_shape(
        lambda: backbone.init_with_output(jax.random.key(0), x, train=False)
    )
    return count(variables), {name: end.shape for name, end in ends.items()}


def end_points(backbone):
    """Returns a substitute for a backbone, to test a head alone on images of 33 x 33."""
    return EndPoints(backbone.output_stride, _traced(backbone.clone(compute=PLAIN))[1])


def parameters(model):
    """Returns the model's parameter count; each backbone is traced once for all tests."""
    number, _ = _traced(model.backbone.clone(compute=PLAIN))
    head = model.clone(backbone=end_points(model.backbone), compute=PLAIN)
    return number + count(shapes_of(head))


class ThreeMaps(nn.Module):
    """The smallest backbone with the maps that the heads need, to keep compilation short."""

    output_stride: int = 16
    head_rate = 1

    def grids(self):
        """Returns the grids of the maps in the image, for FCN."""
        strides = {"pool3": 8, "pool4": 16, "features": 16}
        return {name: Grid(stride=Fraction(stride)) for name, stride in strides.items()}

    @nn.compact
    def __call__(self, x, *, train):
        block = functools.partial(ConvNorm, 8, norm=Norm("frozen"), compute=PLAIN)
        low = block(stride=4, name="stage1")(x, train=train)
        middle = block(stride=2, name="stage3")(low, train=train)
        high = block(stride=2, name="stage4")(middle, train=train)
        ends = {f"conv{n}": x for n, x in enumerate((low, low, low, middle, high), start=1)}
        ends |= {f"pool{n}": x for n, x in enumerate((low, low, middle, high, high), start=1)}
        return ends | {
            "stage1": low,
            "stage2": low,
            "stage3": middle,
            "stage4": high,
            "features": high,
        }


def resnet(depth, stem="3x3x3", **fields):
    """Returns the backbone of the DeepLab papers."""
    return ResNet(depth=depth, stem=stem, stride_at="last_3x3", **fields)
