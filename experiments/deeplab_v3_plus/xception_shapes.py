"""DeepLab v3+ (arXiv 1802.02611) on a small Xception on Shapes: minutes on two CPU cores.

Expected: no figure is published; the quick start's network reaches 0.70.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=shapes
    python -m jaxseg.main --config=experiments/deeplab_v3_plus/xception_shapes.py \
        --workdir=runs/v3_plus_xception_shapes
"""

from experiments import quickstart
from jaxseg import config
from jaxseg.backbones import xception
from jaxseg.layers.norm import Norm
from jaxseg.models import deeplab_v3_plus


def get_config() -> config.Experiment:
    """The quick start's data, loss and schedule.

    Xception-41 at 0.15 of its width, with two modules in the middle flow instead of eight.
    """
    experiment = quickstart.get_config()
    norm = Norm(decay=0.95)
    experiment.model = deeplab_v3_plus.DeepLabV3Plus(
        num_classes=7,
        backbone=xception.Xception(
            depth=41,
            width=0.15,
            middle_modules=2,
            output_stride=16,
            norm=xception.NORM.with_decay(norm.decay),
        ),
        atrous_rates=(2, 4),
        aspp_features=64,
        separable=deeplab_v3_plus.Separable(aspp=True, decoder=True),
        decoder=deeplab_v3_plus.Decoder("entry2_pointwise2", low_level_features=24, features=64),
        norm=norm,
    )
    return experiment
