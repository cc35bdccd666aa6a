"""What chance may change in an image and its label: `data.augment` of an experiment."""

import dataclasses

_LEAST_STEP = 1e-3  # of scales


@dataclasses.dataclass
class Augment:
    """How training images vary; `transforms.Transform` does it."""

    short_side: int = 0  # images whose shorter side is below this are first enlarged to it
    long_side: int = 0  # that each image is first brought to; 0: scales are of the image as it is
    scale_range: tuple[float, float] = (0.5, 2.0)  # smallest and largest factor
    scale_step: float = 0.0  # 0: uniform in the range; else the discrete grid of this step
    flip: bool = True  # left and right, in half of the cases
    jitter: float = 0.0  # strength of brightness, contrast and saturation changes; 0: none
    rotation: float = 0.0  # degrees; uniform from -rotation to rotation, about the image's centre
    rotation_probability: float = 1.0  # of an angle other than 0
    elastic: float = 0.0  # deviation in pixels of U-Net's random displacements; 0: none
    blur: float = 0.0  # probability of PSPNet's blur
    photometric: bool = False  # SSD's random brightness, contrast, saturation and hue
    class_crops: bool = False  # centred on a pixel of a random class of the image, as RefineNet's
    class_limit: float = 1.0  # crops in which a class has this share are drawn again; 1: none
    class_limit_draws: int = 10  # crops tried; the last one is kept if none passes
    border: str = "mean"  # beyond the image: the mean colour or "zero", both void, or "mirror"


def scale_faults(augment: Augment) -> list[str]:
    """A range of scales that is reversed, or that no whole number of steps fills."""
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
            f"data.augment.scale_step={step} does not lead from {low} to {high} in whole steps: "
            f"set --config.data.augment.scale_step={fitting}, or 0 for any scale between them"
        ]
    return []
