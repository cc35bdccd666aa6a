"""Networks that also classify pixels (Panoptic FPN), and the classes of stuff of their data."""

import flax.linen as nn

from jaxseg import config
from jaxseg.data import builders
from jaxseg.data.loader import Source
from jaxseg.data.source import prepare_command


def learns_stuff(model: nn.Module) -> bool:
    """Whether a detector classifies pixels too, and so needs the classes of stuff."""
    return hasattr(model, "semantic_classes")


def faults(experiment: config.Experiment, source: Source | None) -> list[str]:
    """Data without classes of stuff, or with another number of them than the network has."""
    model, data = experiment.model, experiment.data
    if source is None or not learns_stuff(model):
        return []
    name, stuff = type(model).__name__, source.labels.stuff
    if stuff is None and data.name in builders.WITH_STUFF:
        return [
            f"{name} needs the classes of stuff, which {data.name} in {data.data_dir} was prepared "
            f"without: {prepare_command(data.name, data.data_dir)} --overwrite"
        ]
    if stuff is None:
        return [
            f"{name} needs classes of stuff, which {data.name} does not have: choose "
            f"{' or '.join(builders.WITH_STUFF)}, or a model without semantic_classes"
        ]
    if model.semantic_classes == stuff.num_classes:
        return []
    return [
        f"the model predicts {model.semantic_classes} classes of pixels, but {data.name} has "
        f"{stuff.num_classes}, things counted as one: set "
        f"--config.model.semantic_classes={stuff.num_classes}"
    ]
