"""The form of each kind of operation can be set separately."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from jaxseg.layers.compute import KINDS, PLAIN, Compute
from jaxseg.layers.conv import Conv, DepthwiseConv, classifier
from jaxseg.layers.conv_transpose import ConvTranspose
from jaxseg.layers.nms import nms
from jaxseg.layers.roi_align import roi_align
from jaxseg.layers.upsample import Upsample


class Suppressed(nn.Module):
    """Boxes made of the map, of which some are kept."""

    compute: Compute

    def __call__(self, x):
        boxes = x.reshape(-1, 4)
        return nms(boxes, boxes[:, 0], boxes[:, 0] > 0, 0.5, form=self.compute.of("nms"))


class Aligned(nn.Module):
    compute: Compute

    def __call__(self, x):
        roi, level = jnp.ones((1, 1, 4)), jnp.zeros((1, 1), int)
        return roi_align([x], [4], roi, level, 2, form=self.compute.of("roi"))


LAYERS = {
    "dense": lambda compute: Conv(4, compute=compute),
    "depthwise": lambda compute: DepthwiseConv(compute=compute),
    "transposed": lambda compute: ConvTranspose(4, 4, 2, compute=compute),
    "resize": lambda compute: Upsample("bilinear", compute=compute),
    "pool": lambda compute: Upsample("bed_of_nails", compute=compute),
    "roi": Aligned,
    "nms": Suppressed,
}


def program(kind, compute):
    """Returns the traced program of a layer with this kind of operation."""
    layer, x = LAYERS[kind](compute), jnp.zeros((1, 6, 6, 4))
    more = ((12, 12),) if isinstance(layer, Upsample) else ()
    return str(jax.make_jaxpr(lambda x: layer.init_with_output(jax.random.key(0), x, *more)[0])(x))


@pytest.mark.parametrize("kind", KINDS)
def test_the_form_of_one_kind_overrides_the_form_of_all(kind):
    others = {other: "fast" for other in KINDS if other != kind}
    plain, fast = program(kind, PLAIN), program(kind, Compute(form="fast"))
    assert plain != fast
    assert program(kind, Compute(form="plain", **{kind: "fast"})) == fast
    assert program(kind, Compute(form="plain", **others)) == plain


def test_logits_are_float32_and_keep_the_form():
    layer = classifier(3, Compute("bfloat16", "plain", dense="fast"))
    assert layer.compute == Compute("float32", "plain", dense="fast")
