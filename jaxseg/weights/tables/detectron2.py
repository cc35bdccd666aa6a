"""Name table of detectron2's Faster and Mask R-CNN, C4, DC5 and FPN, for its .pkl and .pth files.

The pixels are blue, green and red there, and the last of the classes is the background. Where all
anchors lie on one map, those of each size come together (modeling/anchor_generator.py,
generate_cell_anchors); here it is those of each ratio, as in torchvision.
"""

import re
from collections.abc import Collection

import numpy as np

from jaxseg.pixels import Normalisation
from jaxseg.weights.match import Table
from jaxseg.weights.tables.torchvision import COUNTERS, kernel
from jaxseg.weights.tables.torchvision_detection import Layout, dense, entries_of, layout

# MSRA's: R, G, B of 0 to 255, without a deviation. Files on torchvision's ResNets have others.
_PIXELS = Normalisation((123.675, 116.28, 103.53), (1.0, 1.0, 1.0))
_MODULES = {
    "proposal_generator.rpn_head.conv": "rpn/conv1",
    "proposal_generator.rpn_head.objectness_logits": "rpn/objectness",
    "proposal_generator.rpn_head.anchor_deltas": "rpn/deltas",
    "roi_heads.box_predictor.cls_score": "predictor/classes",
    "roi_heads.box_predictor.bbox_pred": "predictor/boxes",
    "roi_heads.mask_head.deconv": "mask_head/up",
    "roi_heads.mask_head.predictor": "mask_head/masks",
}
_OF_ANCHORS = {"rpn/objectness": 1, "rpn/deltas": 4}  # values of each anchor
_RATIOS = 3
_IGNORED = (
    COUNTERS,
    "pixel_mean",
    "pixel_std",
    "proposal_generator.anchor_generator.cell_anchors.*",
)


def pixel_kernel(array: np.ndarray) -> np.ndarray:
    """[out, 3, kh, kw] of pixels B, G, R -> [kh, kw, 3, out] of R, G, B."""
    return kernel(array)[:, :, ::-1]


def background_first(array: np.ndarray) -> np.ndarray:
    """Biases of the classes, whose background moves from the end to the front."""
    return np.roll(array, 1, axis=0)


def dense_background_first(array: np.ndarray) -> np.ndarray:
    """[K + 1, in] -> [in, K + 1], likewise."""
    return dense(background_first(array))


def ratios_first(outputs: np.ndarray, values: int) -> np.ndarray:
    """Outputs of the RPN, whose order of anchors on a single map becomes that of `layers.boxes`.

    Of a pyramid, each level has one size, and nothing changes.

    Args:
      outputs: [..., S * R * values], of each of S sizes all ratios.
      values: of an anchor: 1 for its score, 4 for its box.

    Returns:
      [..., R * S * values].

    Raises:
      ValueError: they are not of three ratios, as in all released files.
    """
    *others, last = outputs.shape
    if last % (_RATIOS * values):
        raise ValueError(f"{last} outputs of the RPN are not those of {_RATIOS} ratios")
    of_size = outputs.reshape(*others, -1, _RATIOS, values)
    return of_size.swapaxes(-3, -2).reshape(outputs.shape)


def _unit(stage: str, index: str, part: str) -> str:
    """The path for a part of a residual unit: "res4", "0", "conv2.norm"."""
    layer, _, norm = part.partition(".")
    return f"stage{int(stage) - 1}_unit{int(index) + 1}/{layer}/{norm or 'conv'}"


def _module(name: str) -> str | None:
    """The path of a module of the file; None: it has no place."""
    if name in _MODULES:
        return _MODULES[name]
    body = re.sub(r"^backbone\.(bottom_up\.)?", "backbone/", name)
    if body in ("backbone/stem.conv1", "backbone/stem.conv1.norm"):
        return f"backbone/stem1/{'norm' if body.endswith('norm') else 'conv'}"
    part = r"((?:conv\d|shortcut)(?:\.norm)?)"
    if match := re.fullmatch(rf"backbone/res(\d)\.(\d+)\.{part}", body):
        return f"backbone/{_unit(*match.groups())}"
    if match := re.fullmatch(rf"roi_heads\.res5\.(\d+)\.{part}", name):
        return re.sub("^stage4_", "box_head/", _unit("5", *match.groups()))
    if match := re.fullmatch(r"backbone\.fpn_(lateral|output)(\d)", name):
        return f"neck/{match[1]}{match[2]}/conv"
    if match := re.fullmatch(r"roi_heads\.box_head\.fc(\d)", name):
        return f"box_head/fc{match[1]}"
    if match := re.fullmatch(r"roi_heads\.mask_head\.mask_fcn(\d)", name):
        return f"mask_head/conv{match[1]}/conv"
    return None


def layout_background_last(target: str, leaf: str) -> Layout:
    """That of a leaf in a file whose background is the last class."""
    if target == "predictor/classes":
        return dense_background_first if leaf == "kernel" else background_first
    return layout(target, leaf)


def _layout(target: str, leaf: str) -> Layout:
    if (target, leaf) == ("backbone/stem1/conv", "kernel"):
        return pixel_kernel
    if target in _OF_ANCHORS:
        plain = layout(target, leaf)
        return lambda array: ratios_first(plain(array), _OF_ANCHORS[target])
    return layout_background_last(target, leaf)


def is_one(names: Collection[str]) -> bool:
    """Whether these are names of such a detector."""
    return "proposal_generator.rpn_head.objectness_logits.weight" in names


def detector(names: Collection[str]) -> Table:
    """The table for the constructors of `models.compat_detection` that are named detectron2.

    Args:
      names: of the tensors in the file.
    """
    return Table(
        entries_of(names, _module, _layout),
        ignored=_IGNORED,
        normalisation=_PIXELS,
        pixel_kernels=("params/backbone/stem1/conv/kernel",),
    )
