"""Name tables of torchvision's ResNets and DeepLab v3, and of segmentation_models_pytorch's two.

A table is made from the names in the file, module by module. Depth and number of rates are those of
the file; the strict engine of `match.py` checks that the model has the same. Kernels of torch are
[out, in, kh, kw], depthwise ones [C, 1, kh, kw]: the same transposition serves both.
"""

import re
from collections.abc import Callable, Collection, Mapping

import numpy as np

from jaxseg.pixels import Normalisation
from jaxseg.weights.match import Entry, Table, unchanged

COUNTERS = "*num_batches_tracked"  # of torch's batch norm, for momentum=None only
NORM = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}
# Those of ImageNet, in torchvision and smp; torchvision states them for pixels from 0 to 1.
IMAGENET_PIXELS = Normalisation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
CONV = {"weight": ("params", "kernel"), "bias": ("params", "bias")}
_UNIT = {"downsample.0": "shortcut/conv", "downsample.1": "shortcut/norm"} | {
    f"{kind}{n}": f"conv{n}/{target}"
    for n in (1, 2, 3)
    for kind, target in (("conv", "conv"), ("bn", "norm"))
}


def kernel(array: np.ndarray) -> np.ndarray:
    """[out, in, kh, kw] -> [kh, kw, in, out]."""
    return array.transpose(2, 3, 1, 0)


def resnet_module(name: str) -> str | None:
    """The path, such as stage3_unit1/conv2/norm for layer3.0.bn2; None outside the extractor."""
    if unit := re.fullmatch(r"layer(\d)\.(\d+)\.(.+)", name):
        stage, index, part = unit.groups()
        return f"stage{stage}_unit{int(index) + 1}/{_UNIT[part]}" if part in _UNIT else None
    return {"conv1": "stem1/conv", "bn1": "stem1/norm"}.get(name)


def _aspp_modules(names: Collection[str], source: str, separable: bool) -> dict[str, str]:
    """The modules of an ASPP whose pooled branch is last; `source` is its name and a dot."""
    branches = {int(m[1]) for n in names if (m := re.match(rf"{re.escape(source)}convs\.(\d+)", n))}
    last = max(branches, default=0)
    modules = {
        "convs.0.0": "conv1x1/conv",
        "convs.0.1": "conv1x1/norm",
        f"convs.{last}.1": "image_pooling/conv",
        f"convs.{last}.2": "image_pooling/norm",
        "project.0": "projection/conv",
        "project.1": "projection/norm",
    }
    for n in range(1, last):
        if separable:
            modules |= _separable_modules(f"convs.{n}.", f"atrous{n}")
        else:
            modules |= {f"convs.{n}.0": f"atrous{n}/conv", f"convs.{n}.1": f"atrous{n}/norm"}
    return {f"{source}{module}": f"aspp/{target}" for module, target in modules.items()}


def _separable_modules(source: str, target: str) -> dict[str, str]:
    """smp's separable convolution and the following norm in a Sequential."""
    return {
        f"{source}0.0": f"{target}/depthwise",
        f"{source}0.1": f"{target}/pointwise",
        f"{source}1": f"{target}/pointwise_norm",
    }


def table_by_module(
    names: Collection[str], module_of: Callable[[str], str | None], ignored: tuple[str, ...] = ()
) -> Table:
    """An entry for each tensor of a known module; the engine reports the others."""
    entries = []
    for name in names:
        module, _, tensor = name.rpartition(".")
        target = module_of(module)
        leaves = NORM if target and target.endswith("norm") else CONV
        if target and tensor in leaves:
            collection, leaf = leaves[tensor]
            layout = kernel if leaf == "kernel" else unchanged
            entries.append(Entry(name, f"{collection}/{target}/{leaf}", layout))
    return Table(
        tuple(entries),
        ignored=(COUNTERS, *ignored),
        normalisation=IMAGENET_PIXELS,
        pixel_kernels=("params/stem1/conv/kernel", "params/backbone/stem1/conv/kernel"),
    )


def resnet(names: Collection[str]) -> Table:
    """torchvision's `resnet18` .. `resnet152` for a `ResNet` by itself; `fc` is left out.

    Args:
      names: of the tensors in the file.
    """
    return table_by_module(names, resnet_module, ignored=("fc.*",))


def _on_resnet(names: Collection[str], backbone: str, head: Mapping[str, str]) -> Table:
    """The table of a model, with its ResNet at `backbone` and its other modules in `head`."""

    def module_of(name: str) -> str | None:
        if name.startswith(backbone):
            target = resnet_module(name.removeprefix(backbone))
            return target and f"backbone/{target}"
        return head.get(name)

    return table_by_module(names, module_of)


def torchvision_deeplab_v3(names: Collection[str]) -> Table:
    """torchvision's `deeplabv3_resnet50` and `101` for `models.compat.torchvision_deeplab_v3`.

    Args:
      names: of the tensors in the file, with or without the auxiliary head.
    """
    head = _aspp_modules(names, "classifier.0.", separable=False) | {
        "classifier.1": "extra_conv1/conv",
        "classifier.2": "extra_conv1/norm",
        "classifier.4": "classifier",
        "aux_classifier.0": "aux_conv/conv",
        "aux_classifier.1": "aux_conv/norm",
        "aux_classifier.4": "aux_classifier",
    }
    return _on_resnet(names, "backbone.", head)


def torchvision_fcn(names: Collection[str]) -> Table:
    """torchvision's `fcn_resnet50` and `101` for `models.compat.torchvision_fcn`.

    Args:
      names: of the tensors in the file, with or without the auxiliary head.
    """
    modules = {"0": "conv/conv", "1": "conv/norm", "4": "classifier"}
    head = {f"classifier.{n}": f"head/{target}" for n, target in modules.items()}
    head |= {f"aux_classifier.{n}": f"aux_head/{target}" for n, target in modules.items()}
    return _on_resnet(names, "backbone.", head)


def smp_deeplab_v3(names: Collection[str]) -> Table:
    """smp's `DeepLabV3` on a ResNet for `models.compat.smp_deeplab_v3`.

    Args:
      names: of the tensors in the file, from a version of smp with the name decoder.aspp.
    """
    head = _aspp_modules(names, "decoder.aspp.", separable=False) | {
        "decoder.conv": "extra_conv1/conv",
        "decoder.bn": "extra_conv1/norm",
        "segmentation_head.0": "classifier",
    }
    return _on_resnet(names, "encoder.", head)


def smp_deeplab_v3_plus(names: Collection[str]) -> Table:
    """smp's `DeepLabV3Plus` on a ResNet for `models.compat.smp_deeplab_v3_plus`.

    Args:
      names: of the tensors in the file.
    """
    head = _aspp_modules(names, "decoder.aspp.0.", separable=True) | {
        "decoder.aspp.1.0": "extra_conv1/depthwise",
        "decoder.aspp.1.1": "extra_conv1/pointwise",
        "decoder.aspp.2": "extra_conv1/pointwise_norm",
        "decoder.block1.0": "low_level_conv/conv",
        "decoder.block1.1": "low_level_conv/norm",
        "segmentation_head.0": "classifier",
    }
    head |= _separable_modules("decoder.block2.", "decoder_conv1")
    return _on_resnet(names, "encoder.", head)


def smp_fpn(names: Collection[str]) -> Table:
    """smp's `FPN` on a ResNet for `models.compat.smp_fpn`.

    Args:
      names: of the tensors in the file.
    """
    head = {"decoder.p5": "neck/lateral5/conv", "segmentation_head.0": "head/classifier"}
    head |= {f"decoder.p{n}.skip_conv": f"neck/lateral{n}/conv" for n in (2, 3, 4)}
    for name in names:
        if block := re.match(r"decoder\.seg_blocks\.(\d)\.block\.(\d)\.block\.0", name):
            target = f"head/level{5 - int(block[1])}_conv{int(block[2]) + 1}"
            head[block[0]] = f"{target}/conv"
            head[f"{block[0][:-1]}1"] = f"{target}/norm"
    return _on_resnet(names, "encoder.", head)


def smp_unet(names: Collection[str]) -> Table:
    """smp's `Unet` on a ResNet for `models.compat.smp_unet`.

    Args:
      names: of the tensors in the file.
    """
    head = {"segmentation_head.0": "classifier"}
    for name in names:
        if step := re.match(r"decoder\.blocks\.(\d+)\.conv1\.0", name):
            source, target = f"decoder.blocks.{step[1]}", f"up{int(step[1]) + 1}"
            for n in (1, 2):
                head[f"{source}.conv{n}.0"] = f"{target}_conv{n}"
                head[f"{source}.conv{n}.1"] = f"{target}_conv{n}_norm"
    return _on_resnet(names, "encoder.", head)
