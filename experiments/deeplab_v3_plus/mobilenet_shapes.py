"""DeepLab v3+ (arXiv 1802.02611) on MobileNetV2 (1801.04381) on Shapes: minutes on two CPU cores.

Expected: no figure is published; the quick start's network reaches 0.70.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=shapes
    python -m jaxseg.main --config=experiments/deeplab_v3_plus/mobilenet_shapes.py \
        --workdir=runs/v3_plus_mobilenet_shapes
"""

from experiments import quickstart
from jaxseg import config
from jaxseg.backbones import mobilenet_v2
from jaxseg.layers.norm import Norm
from jaxseg.models import deeplab_v3_plus


def get_config() -> config.Experiment:
    """The quick start's data, loss and schedule; MobileNetV2 of width 0.35 from scratch."""
    experiment = quickstart.get_config()
    norm = Norm(decay=0.95)
    experiment.model = deeplab_v3_plus.DeepLabV3Plus(
        num_classes=7,
        backbone=mobilenet_v2.MobileNetV2(
            width=0.35,
            output_stride=16,
            norm=mobilenet_v2.NORM.with_decay(norm.decay),
        ),
        atrous_rates=(2, 4),
        aspp_features=64,
        separable=deeplab_v3_plus.Separable(aspp=True, decoder=True),
        decoder=deeplab_v3_plus.Decoder("layer_4_depthwise", low_level_features=24, features=64),
        norm=norm,
    )
    return experiment
