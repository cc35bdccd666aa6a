"""Dilated convolutions (arXiv 1511.07122) on Shapes: a few minutes on two CPU cores.

Expected: no figure is published; the quick start's network reaches 0.70.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=shapes
    python -m jaxseg.main --config=experiments/dilation/shapes.py --workdir=runs/dilation_shapes
"""

from experiments import quickstart
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import dilation


def get_config() -> config.Experiment:
    """The quick start's data, loss and schedule; an eighth of VGG-16's width, six rates of context.

    Departure: batch norm, as in the other networks on Shapes, and zeros around each map: mirrored
    borders of 186 pixels would give 128 x 128 images fifteen times as many pixels.
    """
    experiment = quickstart.get_config()
    backbone = dilation.front_end_backbone()
    experiment.model = dilation.Dilation(
        num_classes=7,
        backbone=backbone.clone(width=8, padding=True, norm=Norm(decay=0.95)),
        context_rates=dilation.CONTEXT_7,
        head_features=64,
        dropout=0.0,
    )
    return experiment
