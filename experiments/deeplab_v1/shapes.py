"""DeepLab v1 (arXiv 1412.7062), LargeFOV, on Shapes: a few minutes on two CPU cores.

Expected: no figure is published; the quick start's network reaches 0.70.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=shapes
    python -m jaxseg.main --config=experiments/deeplab_v1/shapes.py --workdir=runs/deeplab_v1_shapes
"""

from experiments import quickstart
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import deeplab_v1


def get_config() -> config.Experiment:
    """The quick start's data, loss and schedule; an eighth of VGG-16's width.

    Departure: batch norm, as in the other networks on Shapes, and fc6 at rate 4, since the maps
    have 17 x 17 pixels.
    """
    experiment = quickstart.get_config()
    backbone = deeplab_v1.large_fov_backbone()
    experiment.model = deeplab_v1.DeepLabV1(
        num_classes=7,
        backbone=backbone.clone(width=8, norm=Norm(decay=0.95)),
        rate=4,
        head_features=64,
        dropout=0.0,
    )
    return experiment
