"""Recognises the network of a Caffe file by the names of its layers."""

import re
from collections.abc import Callable, Collection

from jaxseg.weights.match import Table
from jaxseg.weights.tables.caffe import alexnet, layers_of, resnet, vgg
from jaxseg.weights.tables.caffe_deeplab import deeplab_v1, deeplab_v2_resnet, deeplab_v2_vgg
from jaxseg.weights.tables.caffe_dilation import dilation
from jaxseg.weights.tables.caffe_fcn import fcn
from jaxseg.weights.tables.caffe_pspnet import pspnet
from jaxseg.weights.tables.caffe_segnet import deconvnet, segnet, segnet_basic

# A layer that only this network and earlier ones in the list have: a network that builds on another
# comes before it.
_KNOWN_BY: tuple[tuple[str, Callable[[Collection[str]], Table]], ...] = (
    ("conv5_3_pool1_conv", pspnet),
    ("conv1_1_D", segnet),
    ("conv_decode1", segnet_basic),
    ("fc6-deconv", deconvnet),
    ("score_fr", fcn),
    ("fc-final|final", dilation),
    ("fc6_1", deeplab_v2_vgg),
    ("fc8_.+", deeplab_v1),
    ("fc1_.+", deeplab_v2_resnet),
    ("res5c_branch2c", resnet),
    ("conv1_1", vgg),
    ("conv5", alexnet),
)


def table_of(names: Collection[str]) -> Table | None:
    """The name table for a file with these blobs; None if the network is unknown."""
    layers = layers_of(names)
    for pattern, table in _KNOWN_BY:
        if any(re.fullmatch(pattern, layer) for layer in layers):
            return table(names)
    return None
