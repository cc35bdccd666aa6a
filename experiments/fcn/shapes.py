"""FCN-8s (arXiv 1605.06211) on Shapes: a minute or two on two CPU cores.

Expected: no figure is published; the quick start's network reaches 0.70.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=shapes
    python -m jaxseg.main --config=experiments/fcn/shapes.py --workdir=runs/fcn8s_shapes

FCN-16s and FCN-32s with --config.model.stride=16 and 32.
"""

from experiments import quickstart
from jaxseg import config
from jaxseg.backbones import vgg
from jaxseg.layers.norm import Norm
from jaxseg.models import fcn


def get_config() -> config.Experiment:
    """The quick start's data, loss and schedule; an eighth of VGG-16's width.

    Departure: batch norm, and zeros around each map in place of the border of 100, with which
    images of 128 x 128 would cost six times as much. All scores are trained together, from scratch.
    """
    experiment = quickstart.get_config()
    experiment.model = fcn.FCN(
        num_classes=7,
        backbone=vgg.VGG(width=8, norm=Norm(decay=0.95)),
        head_features=128,
        fc6_padding=None,
        dropout=0.1,
    )
    return experiment
