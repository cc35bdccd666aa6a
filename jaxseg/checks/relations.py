"""Constraints between the fields of an experiment (see also `schedule` and `protocol`)."""

from collections.abc import Sequence

from jaxseg.config import DECAYED, Experiment, Normalisation, flatten


def pixel_faults(pixels: Normalisation) -> list[str]:
    """Finds means and standard deviations that are not on the scale of pixels, 0 to 255."""
    faults = []
    low = {
        "mean": any(pixels.mean) and max(pixels.mean) < 1,
        "std": max(pixels.std) < 1,
    }
    for name in (name for name, is_low in low.items() if is_low):
        path, values = f"data.normalisation.{name}", getattr(pixels, name)
        right = ",".join(str(round(255 * value, 3)) for value in values)
        faults.append(
            f"{path}={values} is for pixels from 0 to 1, but pixels are 0 to 255 here: set "
            f"--config.{path}={right}"
        )
    return faults


def side_faults(experiment: Experiment) -> list[str]:
    """Finds a long side and a short side that are both set: images can be resized to only one."""
    return [
        f"{path}.short_side={part.short_side} and {path}.long_side={part.long_side} exclude each "
        f"other: set --config.{path}.short_side=0 or --config.{path}.long_side=0"
        for path, part in (("data.augment", experiment.data.augment), ("eval", experiment.eval))
        if part.short_side and part.long_side
    ]


def decay_faults(decayed: Sequence[str]) -> list[str]:
    """Finds unknown kinds of parameters in optim.decayed."""
    if unknown := [kind for kind in decayed if kind not in (*DECAYED, "all")]:
        return [
            f"optim.decayed: {', '.join(map(repr, unknown))} must be among {', '.join(DECAYED)}, "
            "or all: set --config.optim.decayed=kernels"
        ]
    return []


def training_faults(experiment: Experiment) -> list[str]:
    """Finds crops that cannot be drawn, contradictory losses, and float16."""
    loss, found = experiment.loss, []
    if experiment.data.augment.class_limit == 0:
        found.append(
            "data.augment.class_limit=0 cannot be satisfied by any crop: set "
            "--config.data.augment.class_limit=1 "
            "for none"
        )
    if loss.hardest < 1 and loss.reduction == "images":
        found.append(
            f"loss.hardest={loss.hardest} needs loss.reduction=pixels: set "
            "--config.loss.reduction=pixels, or --config.loss.hardest=1"
        )
    if loss.class_weights and not any(loss.class_weights):
        found.append(
            "loss.class_weights are all 0, so nothing would be learned: set "
            '--config.loss.class_weights="()"'
        )
    # float16: its gradients vanish below 6e-8, and nothing scales the loss.
    return found + [
        f"{path}=float16 needs loss scaling, which is not implemented: set "
        f"--config.{path}=bfloat16 to "
        "train (float16 is for evaluation and prediction)"
        for path, value in flatten(experiment.model, "model")
        if path.endswith(".dtype") and value == "float16"
    ]
