"""Sizes and augmentation of images with objects: `data.instances` of an experiment."""

import dataclasses

Size = tuple[int, int]  # (height, width)


@dataclasses.dataclass
class InstanceAugment:
    """The settings of `instance_transforms.InstanceTransform`; evaluation uses only the sizes.

    The defaults are Mask R-CNN's (arXiv 1703.06870, section 3.1) with the released code's longest
    side; Detectron2's multi-scale training is short_side 640, 672, 704, 736, 768, 800. Large-scale
    jitter (Ghiasi et al., 2012.07177, section 3): a square data.crop_size and jitter_range 0.1, 2.
    """

    objects: int = 100  # maximum per image; the largest are kept
    short_side: tuple[int, ...] = (800,)  # length of the shorter side; one of several is drawn
    long_side: int = 1333  # maximum length of the longer side
    jitter_range: tuple[float, float] = (1.0, 1.0)  # scales of the size that fits the canvas
    crop: float = 1.0  # smallest share of each side that a random crop keeps; 1: no crop
    flip: bool = True  # left and right, with probability 1/2
    jitter: float = 0.0  # strength of brightness, contrast and saturation changes; 0: none


def faults(augment: InstanceAugment, canvas: Size, name: str) -> list[str]:
    """Invalid settings, a line each.

    Args:
      augment: the settings.
      canvas: (height, width) that the images must fit on.
      name: of the field that holds them, for the messages.
    """
    lines = []
    short, long = sorted(canvas)
    low, high = augment.jitter_range
    sides = augment.short_side or (0,)
    if min(short, *sides, augment.long_side, augment.objects) < 1:
        lines.append(
            f"{name}: short_side, long_side and objects must be at least 1, like data.crop_size"
        )
    elif (low, high) != (1.0, 1.0):
        if not 0.01 <= low <= high <= 16:
            lines.append(f"{name}.jitter_range={augment.jitter_range}: 0.01 or more to 16 at most")
    elif augment.long_side > long or max(sides) > short:
        lines.append(
            f"data.crop_size={canvas} must hold images of the shorter side {max(sides)} and the "
            f"longer side {augment.long_side} of {name}: set --config.data.crop_size="
            f"{max(sides)},{-(-augment.long_side // 32) * 32}"
        )
    if not 0 < augment.crop <= 1:
        lines.append(f"{name}.crop={augment.crop}: a share above 0, 1 at most")
    if not 0 <= augment.jitter < 1:
        lines.append(f"{name}.jitter={augment.jitter}: 0 or more and below 1")
    return lines
