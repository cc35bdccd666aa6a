"""U-Net (arXiv 1505.04597) on Shapes: a few minutes on two CPU cores.

Expected: no figure is published; the quick start's network reaches 0.70.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=shapes
    python -m jaxseg.main --config=experiments/unet/shapes.py --workdir=runs/unet_shapes
"""

from experiments import quickstart
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import unet


def get_config() -> config.Experiment:
    """The quick start's data, loss and schedule; an eighth of the paper's width.

    Departure: zeros around each map and batch norm, so that the cost and the schedule are those of
    the other networks on Shapes.
    """
    experiment = quickstart.get_config()
    experiment.model = unet.UNet(
        num_classes=7, width=8, valid=False, norm=Norm(decay=0.95), dropout=0.0
    )
    return experiment
