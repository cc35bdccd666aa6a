"""PSPNet (arXiv 1612.01105) on Shapes: a minute or two on two CPU cores.

Expected: no figure is published; the quick start's network reaches 0.70.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=shapes
    python -m jaxseg.main --config=experiments/pspnet/shapes.py --workdir=runs/pspnet_shapes
"""

from experiments import quickstart
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import pspnet


def get_config() -> config.Experiment:
    """The quick start's data, loss and schedule, with a quarter-width ResNet-18."""
    experiment = quickstart.get_config()
    norm = Norm(decay=0.95)
    experiment.model = pspnet.PSPNet(
        num_classes=7,
        backbone=pspnet.pspnet_backbone(18, norm).clone(width=16),
        head_features=64,
        aux_features=32,
        norm=norm,
    )
    return experiment
