"""Convolutions at full resolution, the second naive way, on Shapes: minutes on two CPU cores.

A baseline without a paper of its own.
Expected: no figure is published; the quick start's network reaches 0.70.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=shapes
    python -m jaxseg.main --config=experiments/naive/full_resolution_shapes.py \
        --workdir=runs/full_resolution_shapes
"""

from experiments import quickstart
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import full_resolution


def get_config() -> config.Experiment:
    """The quick start's data, loss and schedule; width and depth are limited to a few minutes.

    Eight layers of eight features see 17 pixels.
    """
    experiment = quickstart.get_config()
    experiment.model = full_resolution.FullResolution(
        num_classes=7, width=8, depth=8, norm=Norm(decay=0.95)
    )
    return experiment
