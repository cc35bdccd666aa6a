"""Name tables for contenders' networks that `jaxseg.weights` lacks; does not import torch."""

import re
from collections.abc import Callable, Collection

from jaxseg.weights.match import Entry, Table, unchanged
from jaxseg.weights.tables.torchvision import COUNTERS, NORM, kernel, resnet, smp_deeplab_v3_plus

_CONV = {"weight": ("params", "kernel"), "bias": ("params", "bias")}
# timm's aligned Xception: its modules in order, 21 at depth 65, and the parts of each.
_XCEPTION_MODULES = (
    *(f"entry{n}" for n in (1, 2, 3)),
    *(f"middle{n}" for n in range(1, 17)),
    *("exit1", "exit2"),
)
_XCEPTION_PARTS = {
    "conv_dw": "depthwise",
    "bn_dw": "depthwise_norm",
    "conv_pw": "pointwise",
    "bn_pw": "pointwise_norm",
    "conv": "conv",
    "bn": "norm",
}


def table_of(model: str, names: Collection[str]) -> Table | None:
    """The table for the weights of a contender; None if `jaxseg.weights` recognises them.

    Args:
      model: one of `work.MODELS`.
      names: the names of the tensors in the file.
    """
    if model == "segnet":
        return Table(_entries(names, _segnet_module), ignored=(COUNTERS,))
    if model == "pspnet":
        prefix = "backbone."
        own = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
        entries = [
            Entry(prefix + e.source, e.target.replace("/", "/backbone/", 1), e.transform)
            for e in resnet(own).entries
        ]
        rest = [name for name in names if not name.startswith(prefix)]
        head = _entries(rest, lambda module: module.replace(".", "/"))
        return Table((*entries, *head), ignored=(COUNTERS,))
    if model == "v3_plus_xception":
        head = smp_deeplab_v3_plus(names).entries
        encoder = [name for name in names if name.startswith("encoder.")]
        return Table((*head, *_entries(encoder, _xception_module)), ignored=(COUNTERS,))
    return None


def _entries(names: Collection[str], path_of: Callable[[str], str]) -> tuple[Entry, ...]:
    """An entry for each tensor; norms are modules whose last name contains "norm"."""
    entries = []
    for name in names:
        module, _, tensor = name.rpartition(".")
        path = path_of(module)
        leaves = NORM if "norm" in path.rpartition("/")[2] else _CONV
        if tensor in leaves:
            collection, leaf = leaves[tensor]
            layout = kernel if leaf == "kernel" else unchanged
            entries.append(Entry(name, f"{collection}/{path}/{leaf}", layout))
    return tuple(entries)


def _segnet_module(name: str) -> str:
    """Maps backbone.conv1_1 to backbone/conv1_1, and decoder.conv5_3_D to conv5_3_D."""
    return name.removeprefix("decoder.").replace(".", "/")


def _xception_module(name: str) -> str:
    """Maps encoder.model.blocks_0.stack.conv2.conv_dw to backbone/entry1/separable2/depthwise."""
    name = name.removeprefix("encoder.model.")
    owner, _, part = name.rpartition(".")
    if stem := re.fullmatch(r"stem_(\d)", owner):
        module = f"stem{int(stem[1]) + 1}"
    elif block := re.fullmatch(r"blocks_(\d+)\.(?:stack\.conv(\d)|shortcut)", owner):
        inner = f"separable{block[2]}" if block[2] else "shortcut"
        module = f"{_XCEPTION_MODULES[int(block[1])]}/{inner}"
    else:
        raise ValueError(f"{name} is not a module of timm's aligned Xception")
    return f"backbone/{module}/{_XCEPTION_PARTS[part]}"
