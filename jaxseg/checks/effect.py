"""Finds fields that were set but have no effect.

Another field switches them off, or they belong to the task that the model does not have.
"""

from collections.abc import Mapping
from typing import Any

from jaxseg.config import Experiment

# Fields that another one switches off, and the flag that switches them on.
_ON: dict[tuple[str, ...], tuple[str, ...]] = {
    ("eval.crop_size", "eval.stride"): ("eval.sliding=True",),
    ("eval.crf_filter", "eval.crf_normalization"): ("eval.crf=deeplab_v2",),
    ("eval.hausdorff",): ("eval.boundary=True",),
    ("optim.decay_factor",): ("optim.schedule=step",),
    ("optim.power", "optim.end_learning_rate"): ("optim.schedule=poly",),
    ("optim.nesterov",): ("optim.name=sgd",),
    ("optim.b2",): ("optim.name=adamw",),
    ("loss.boundary_sigma",): ("loss.boundary=10",),
    ("loss.focal_gamma",): ("loss.focal=1",),
    ("loss.dice_squared", "loss.dice_per_class"): ("loss.dice=1",),
    ("loss.per_image",): ("loss.dice=1", "loss.lovasz=1"),
    ("data.augment.rotation_probability",): ("data.augment.rotation=10",),
    ("data.augment.class_limit_draws",): ("data.augment.class_limit=0.75",),
    ("train.init_partial",): ("train.init_from=FOLDER",),
}

# Parts and fields of one task only.
_OF_TASK: dict[str, tuple[str, ...]] = {
    "semantic": (
        "loss",
        "data.augment",
        "data.duplicate",
        "data.balance",
        "eval.size",
        "eval.output_stride",
        "eval.rotations",
        "eval.fusion",
        "eval.long_side",
        "eval.short_side",
        "eval.sliding",
        "eval.crop_size",
        "eval.stride",
        "eval.margin",
        "eval.border",
        "eval.crf",
        "eval.crf_filter",
        "eval.crf_normalization",
        "eval.boundary",
        "eval.hausdorff",
        "eval.calibration",
        "train.rows",
    ),
    "instance": ("detection", "data.instances", "eval.semantic", "eval.stuff_area"),
}

# Fields that only networks with such a field read, and what these networks do.
_OF_NETWORK: dict[tuple[str, ...], tuple[str, str]] = {
    ("detection.instance", "detection.semantic", "eval.stuff_area"): (
        "semantic_classes",
        "find objects and classify pixels, such as PanopticFPN,",
    ),
}


def _value(experiment: Any, path: str) -> Any:
    for part in path.split("."):
        experiment = getattr(experiment, part)
    return experiment


def _is_on(experiment: Experiment, switch: str) -> bool:
    path, _, value = switch.partition("=")
    now = _value(experiment, path)
    if path == "data.augment.class_limit":
        return now < 1
    return now == value if path in ("optim.schedule", "optim.name") else bool(now)


def without_effect(
    experiment: Experiment, given: Mapping[str, Any], default: Experiment
) -> list[str]:
    """Lists fields that were set by a flag but have no effect.

    Args:
      experiment: the experiment with these fields.
      given: field -> value, as given on the command line.
      default: the same experiment with the default values.
    """
    found = _of_other_tasks(experiment, given, default)
    found += _of_other_networks(experiment, given, default)
    for fields, switches in _ON.items():
        for path in fields:
            if path not in given or _value(experiment, path) == _value(default, path):
                continue
            if not any(_is_on(experiment, switch) for switch in switches):
                way = " or ".join(f"--config.{switch}" for switch in switches)
                found.append(f"--config.{path} has no effect by itself: set {way} as well")
    return found


def _of_other_tasks(
    experiment: Experiment, given: Mapping[str, Any], default: Experiment
) -> list[str]:
    """The changed fields that only a model of another task reads."""
    model = type(experiment.model).__name__
    own = getattr(experiment.model, "task", "semantic")
    return [
        f"--config.{path} has no effect: only models of {task} segmentation read it, and {model} "
        f"is one of {own} segmentation"
        for task, parts in _OF_TASK.items()
        for path in given
        if task != own
        and any(path == part or path.startswith(f"{part}.") for part in parts)
        and _value(experiment, path) != _value(default, path)
    ]


def _of_other_networks(
    experiment: Experiment, given: Mapping[str, Any], default: Experiment
) -> list[str]:
    """The changed fields that no network without a certain field of its own reads."""
    model = experiment.model
    return [
        f"--config.{path} has no effect: only networks that {what} read it, and "
        f"{type(model).__name__} is none"
        for fields, (needed, what) in _OF_NETWORK.items()
        for path in fields
        if path in given
        and getattr(model, "task", "semantic") == "instance"
        and not hasattr(model, needed)
        and _value(experiment, path) != _value(default, path)
    ]
