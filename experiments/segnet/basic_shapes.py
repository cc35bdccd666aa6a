"""SegNet-Basic (arXiv 1511.00561) on Shapes: a few minutes on two CPU cores.

Expected: no figure is published; the quick start's network reaches 0.70.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=shapes
    python -m jaxseg.main --config=experiments/segnet/basic_shapes.py \
        --workdir=runs/segnet_basic_shapes
"""

from experiments import quickstart
from jaxseg import config
from jaxseg.layers.norm import CAFFE_NORM
from jaxseg.models import segnet_basic


def get_config() -> config.Experiment:
    """The quick start's data, loss and schedule; an eighth of the paper's width, raw pixels."""
    experiment = quickstart.get_config()
    experiment.model = segnet_basic.SegNetBasic(
        num_classes=7, width=8, norm=CAFFE_NORM.with_decay(0.95)
    )
    experiment.data.normalisation = config.Normalisation((0.0,) * 3, (1.0,) * 3)
    return experiment
