"""DeconvNet (arXiv 1505.04366) on Shapes: a few minutes on two CPU cores.

Expected: no figure is published; the quick start's network reaches 0.70.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=shapes
    python -m jaxseg.main --config=experiments/deconvnet/shapes.py --workdir=runs/deconvnet_shapes
"""

from experiments import quickstart
from jaxseg import config
from jaxseg.layers.norm import CAFFE_NORM
from jaxseg.models import deconvnet


def get_config() -> config.Experiment:
    """The quick start's data, loss and schedule; a quarter of the paper's width on VGG-11.

    fc6 sees the whole 4 x 4 map of pool5 for images of 128 x 128.

    Departure: no ReLU in the decoder, with which it hardly learns from scratch in so few steps (an
    eighth of VGG-16's width ended at 11.9 mIoU, predicting background); see `segnet/shapes.py`.
    Learning is slow without it too: a whole image has to pass through a single pixel of fc7.
    """
    experiment = quickstart.get_config()
    experiment.model = deconvnet.DeconvNet(
        num_classes=7,
        depth=11,
        width=16,
        fc_features=128,
        fc_kernel=4,
        decoder_relu=False,
        norm=CAFFE_NORM.with_decay(0.95),
    )
    return experiment
