"""SegNet (arXiv 1511.00561) on Shapes: a few minutes on two CPU cores.

Expected: no figure is published; the quick start's network reaches 0.70.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=shapes
    python -m jaxseg.main --config=experiments/segnet/shapes.py --workdir=runs/segnet_shapes
"""

from experiments import quickstart
from jaxseg import config
from jaxseg.layers.norm import CAFFE_NORM
from jaxseg.models import segnet


def get_config() -> config.Experiment:
    """The quick start's data, loss and schedule; a quarter of the paper's width on VGG-11.

    Departure: no ReLU in the decoder, as in the paper's text but not in the release. From scratch
    and at this width, the release's form hardly learns in so few steps (VGG-16 at an eighth of its
    width ended at 13.8 mIoU, predicting background), because three quarters of unpooled maps are
    zeros already.
    """
    experiment = quickstart.get_config()
    experiment.model = segnet.SegNet(
        num_classes=7,
        depth=11,
        width=16,
        decoder_relu=False,
        norm=CAFFE_NORM.with_decay(0.95),
    )
    return experiment
