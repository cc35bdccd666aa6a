"""The settings of data augmentation: `data.augment` of an experiment."""

import dataclasses

_LEAST_STEP = 1e-3  # of scales


@dataclasses.dataclass
class Augment:
    """How training images are augmented by `transforms.Transform`."""

    short_side: int = 0  # images with a smaller short side are first enlarged to this
    long_side: int = 0  # images are first resized to this long side; 0: off
    scale_range: tuple[float, float] = (0.5, 2.0)  # smallest and largest factor
    scale_step: float = 0.0  # 0: uniform in the range; else the discrete grid of this step
    flip: bool = True  # left to right, with probability 1/2
    jitter: float = 0.0  # strength of brightness, contrast and saturation changes; 0: none
    rotation: float = 0.0  # degrees; uniform from -rotation to rotation, about the image's centre
    rotation_probability: float = 1.0  # probability of rotating at all
    elastic: float = 0.0  # standard deviation of U-Net's random displacements in pixels; 0: none
    blur: float = 0.0  # probability of PSPNet's blur
    photometric: bool = False  # SSD's random brightness, contrast, saturation and hue
    class_crops: bool = False  # centre crops on a pixel of a random class, as RefineNet does
    class_limit: float = 1.0  # redraw crops in which a class has this share; 1: never
    class_limit_draws: int = 10  # maximal number of draws; the last crop is kept
    border: str = "mean"  # padding: the mean colour or "zero" (both void), or "mirror"


def scale_faults(augment: Augment) -> list[str]:
    """The faults of a range of scales: reversed, or not a whole number of steps."""
    (low, high), step = augment.scale_range, augment.scale_step
    if low > high:
        return [
            f"data.augment.scale_range={augment.scale_range} must be the smallest and the largest "
            f"scale: set --config.data.augment.scale_range={high},{low}"
        ]
    if step and step < _LEAST_STEP:
        return [
            f"data.augment.scale_step={step} must be 0, or at least {_LEAST_STEP}: set "
            "--config.data.augment.scale_step=0"
        ]
    if not step or low == high:
        return []
    steps = (high - low) / step
    if steps < 1 - 1e-6 or abs(steps - round(steps)) > 1e-3:
        fitting = round((high - low) / max(1, round(steps)), 6)
        return [
            f"data.augment.scale_step={step} does not divide the range from {low} to {high} into "
            "whole steps: "
            f"set --config.data.augment.scale_step={fitting}, or 0 for any scale between them"
        ]
    return []
