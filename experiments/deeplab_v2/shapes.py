"""DeepLab v2 (arXiv 1606.00915) on Shapes, at two scales: a few minutes on two CPU cores.

Expected: no figure is published; the quick start's network reaches 0.70.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=shapes
    python -m jaxseg.main --config=experiments/deeplab_v2/shapes.py --workdir=runs/deeplab_v2_shapes
"""

from experiments import quickstart
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import deeplab_v2


def get_config() -> config.Experiment:
    """The quick start's data, loss and schedule, with a quarter-width ResNet-18.

    Cross-entropy is the paper's, summed over each scale and their maximum; Dice is computed on the
    image. Departure: trained norms, two scales, and half the rates of ASPP-S, since maps are 17 x
    17.
    """
    experiment = quickstart.get_config()
    backbone = deeplab_v2.deeplab_v2_resnet(18, norm=Norm(decay=0.95))
    experiment.model = deeplab_v2.DeepLabV2(
        num_classes=7,
        backbone=backbone.clone(width=16, stride_at="first_3x3"),
        atrous_rates=(1, 2, 4, 6),
        scales=(1.0, 0.5),
    )
    experiment.loss.cross_entropy, experiment.loss.coarse = 0.0, 1.0
    return experiment
