"""Name table of torchvision's Faster and Mask R-CNN on a ResNet with FPN, v1 and v2.

Released files have the names of their first versions (rpn.head.conv, mask_fcn1); today's networks
have others (rpn.head.conv.0.0, mask_head.0.0). Both are known.
"""

import re
from collections.abc import Callable, Collection

import numpy as np

from jaxseg.weights.match import Entry, Table, unchanged
from jaxseg.weights.tables.torchvision import (
    CONV,
    COUNTERS,
    IMAGENET_PIXELS,
    NORM,
    kernel,
    resnet_module,
)

POOLED = 7  # side of the RoIs that the first fully connected layer takes
_FINEST = 2  # level of inner_blocks.0
_MODULES = {
    "rpn.head.conv": "rpn/conv1",
    "rpn.head.cls_logits": "rpn/objectness",
    "rpn.head.bbox_pred": "rpn/deltas",
    "roi_heads.box_head.fc6": "box_head/fc1",
    "roi_heads.box_head.fc7": "box_head/fc2",
    "roi_heads.box_head.5": "box_head/fc1",
    "roi_heads.box_predictor.cls_score": "predictor/classes",
    "roi_heads.box_predictor.bbox_pred": "predictor/boxes",
    "roi_heads.mask_predictor.conv5_mask": "mask_head/up",
    "roi_heads.mask_predictor.mask_fcn_logits": "mask_head/masks",
}
_PART = {"": "conv", ".0": "conv", ".1": "norm"}


def dense(array: np.ndarray) -> np.ndarray:
    """[out, in] -> [in, out]."""
    return array.T


def dense_of_maps(array: np.ndarray) -> np.ndarray:
    """[out, C * 7 * 7] of maps flattened channel by channel -> [7 * 7 * C, out] of ours."""
    if array.shape[1] % POOLED**2:
        raise ValueError(f"{array.shape[1]} inputs are no maps of {POOLED} x {POOLED} pixels")
    array = array.reshape(len(array), -1, POOLED, POOLED)
    return array.transpose(2, 3, 1, 0).reshape(-1, len(array))


def transposed_kernel(array: np.ndarray) -> np.ndarray:
    """[in, out, kh, kw] -> [kh, kw, in, out]."""
    return array.transpose(2, 3, 0, 1)


def _module(name: str) -> str | None:
    """The path of a module of the file; None: it has no place."""
    if name in _MODULES:
        return _MODULES[name]
    if name.startswith("backbone.body."):
        target = resnet_module(name.removeprefix("backbone.body."))
        return target and f"backbone/{target}"
    if match := re.fullmatch(r"backbone\.fpn\.(inner|layer)_blocks\.(\d)(|\.0|\.1)", name):
        kind = {"inner": "lateral", "layer": "output"}[match[1]]
        return f"neck/{kind}{int(match[2]) + _FINEST}/{_PART[match[3]]}"
    if match := re.fullmatch(r"rpn\.head\.conv\.(\d)\.0", name):
        return f"rpn/conv{int(match[1]) + 1}"
    if match := re.fullmatch(r"roi_heads\.mask_head\.mask_fcn(\d)", name):
        return f"mask_head/conv{match[1]}/conv"
    if match := re.fullmatch(r"roi_heads\.(box|mask)_head\.(\d)(\.0|\.1)", name):
        return f"{match[1]}_head/conv{int(match[2]) + 1}/{_PART[match[3]]}"
    return None


Layout = Callable[[np.ndarray], np.ndarray]  # from the file's order of axes to ours


def layout(target: str, leaf: str) -> Layout:
    """That of a leaf of the module `target`, in PyTorch's files of detectors."""
    if leaf != "kernel":
        return unchanged
    if target.endswith("box_head/fc1"):
        return dense_of_maps
    if target.startswith(("box_head/fc", "predictor/")):
        return dense
    return transposed_kernel if target == "mask_head/up" else kernel


def entries_of(
    names: Collection[str],
    module_of: Callable[[str], str | None],
    layout_of: Callable[[str, str], Layout],
) -> tuple[Entry, ...]:
    """The entries for a file's tensors that have a place.

    Args:
      names: of the tensors.
      module_of: the path of a module of the file; None if it has no place.
      layout_of: (path, leaf) -> how the tensor is turned into the leaf.
    """
    entries = []
    for name in names:
        module, _, tensor = name.rpartition(".")
        target = module_of(module)
        leaves = NORM if target and target.endswith("norm") else CONV
        if target and tensor in leaves:
            collection, leaf = leaves[tensor]
            path = f"{collection}/{target}/{leaf}"
            entries.append(Entry(name, path, layout_of(target, leaf)))
    return tuple(entries)


def is_one(names: Collection[str]) -> bool:
    """Whether these are names of such a detector."""
    return "rpn.head.cls_logits.weight" in names and "backbone.body.conv1.weight" in names


def detector(names: Collection[str]) -> Table:
    """The table for the constructors of `models.compat_detection` that are named torchvision.

    The released v1 is to be run with a norm of kind "frozen" and epsilon 0, the others with 1e-5:
    neither is a parameter, so nothing would notice.

    Args:
      names: of the tensors in the file.
    """
    return Table(
        entries_of(names, _module, layout),
        ignored=(COUNTERS,),
        normalisation=IMAGENET_PIXELS,
        pixel_kernels=("params/backbone/stem1/conv/kernel",),
    )
