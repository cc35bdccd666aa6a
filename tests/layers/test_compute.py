"""The form of each kind of operation can be said by itself."""

import jax
import jax.numpy as jnp
import pytest

from jaxseg.layers.compute import KINDS, PLAIN, Compute
from jaxseg.layers.conv import Conv, DepthwiseConv, classifier
from jaxseg.layers.conv_transpose import ConvTranspose
from jaxseg.layers.upsample import Upsample

LAYERS = {
    "dense": lambda compute: Conv(4, compute=compute),
    "depthwise": lambda compute: DepthwiseConv(compute=compute),
    "transposed": lambda compute: ConvTranspose(4, 4, 2, compute=compute),
    "resize": lambda compute: Upsample("bilinear", compute=compute),
    "pool": lambda compute: Upsample("bed_of_nails", compute=compute),
}


def program(kind, compute):
    """The traced program of the layer that is of this kind."""
    layer, x = LAYERS[kind](compute), jnp.zeros((1, 6, 6, 4))
    more = ((12, 12),) if isinstance(layer, Upsample) else ()
    return str(jax.make_jaxpr(lambda x: layer.init_with_output(jax.random.key(0), x, *more)[0])(x))


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_the_form_that_is_said_of_it_and_others_that_of_all(kind):
    others = {other: "fast" for other in KINDS if other != kind}
    plain, fast = program(kind, PLAIN), program(kind, Compute(form="fast"))
    assert plain != fast
    assert program(kind, Compute(form="plain", **{kind: "fast"})) == fast
    assert program(kind, Compute(form="plain", **others)) == plain


def test_logits_are_float32_in_the_form_of_the_rest():
    layer = classifier(3, Compute("bfloat16", "plain", dense="fast"))
    assert layer.compute == Compute("float32", "plain", dense="fast")
