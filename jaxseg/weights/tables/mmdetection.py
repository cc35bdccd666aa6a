"""Name table of mmdetection's Faster and Mask R-CNN on a ResNet with FPN, versions 2 and 3.

The names are those of configs/_base_/models/mask-rcnn_r50_fpn.py and the modules it builds. The
last of the classes is the background. Version 1 has no "roi_head." in its names, and its background
comes first; it is not read.
"""

import re
from collections.abc import Collection

import numpy as np

from jaxseg.weights.match import Table
from jaxseg.weights.tables.detectron2 import layout_background_last
from jaxseg.weights.tables.torchvision import COUNTERS, IMAGENET_PIXELS, resnet_module
from jaxseg.weights.tables.torchvision_detection import Layout, entries_of

_FINEST = 2  # level of lateral_convs.0
_MODULES = {
    "rpn_head.rpn_conv": "rpn/conv1",
    "rpn_head.rpn_cls": "rpn/objectness",
    "rpn_head.rpn_reg": "rpn/deltas",
    "roi_head.bbox_head.fc_cls": "predictor/classes",
    "roi_head.bbox_head.fc_reg": "predictor/boxes",
    "roi_head.mask_head.upsample": "mask_head/up",
    "roi_head.mask_head.conv_logits": "mask_head/masks",
}


def _of_pytorch_style(means: np.ndarray) -> np.ndarray:
    """The running means of the first norm.

    Raises:
      ValueError: all are 0, as tools/model_converters/detectron2pytorch.py writes them for a
        ResNet of "caffe" style, whose names are the same but whose pixels and strides are not.
    """
    if means.size and not means.any():
        raise ValueError(
            'backbone.bn1.running_mean is 0 everywhere: this is a ResNet of mmdetection\'s "caffe" '
            "style, which cannot be read; choose a file without caffe in its name, or "
            "detectron2's own file of the same network"
        )
    return means


def _module(name: str) -> str | None:
    """The path of a module of the file; None: it has no place."""
    if name in _MODULES:
        return _MODULES[name]
    if name.startswith("backbone."):
        target = resnet_module(name.removeprefix("backbone."))
        return target and f"backbone/{target}"
    if match := re.fullmatch(r"neck\.(lateral|fpn)_convs\.(\d)\.conv", name):
        kind = {"lateral": "lateral", "fpn": "output"}[match[1]]
        return f"neck/{kind}{int(match[2]) + _FINEST}/conv"
    if match := re.fullmatch(r"roi_head\.bbox_head\.shared_fcs\.(\d)", name):
        return f"box_head/fc{int(match[1]) + 1}"
    if match := re.fullmatch(r"roi_head\.mask_head\.convs\.(\d)\.conv", name):
        return f"mask_head/conv{int(match[1]) + 1}/conv"
    return None


def _layout(target: str, leaf: str) -> Layout:
    if (target, leaf) == ("backbone/stem1/norm", "mean"):
        return _of_pytorch_style
    return layout_background_last(target, leaf)


def is_one(names: Collection[str]) -> bool:
    """Whether these are names of such a detector."""
    return "rpn_head.rpn_cls.weight" in names and "roi_head.bbox_head.fc_cls.weight" in names


def detector(names: Collection[str]) -> Table:
    """The table for the constructors of `models.compat_detection` that are named mmdetection.

    Args:
      names: of the tensors in the file.
    """
    return Table(
        entries_of(names, _module, _layout),
        ignored=(COUNTERS,),
        normalisation=IMAGENET_PIXELS,
        pixel_kernels=("params/backbone/stem1/conv/kernel",),
    )
