"""DeepLab v3+ (arXiv 1802.02611) with ResNet-101 on PASCAL VOC 2012 trainaug: Table 3.

Expected: 78.85 mIoU on val at output stride 16, 79.35 at 8 (--config.eval.output_stride=8), 80.57
with --config.eval.scales=0.5,0.75,1,1.25,1.5,1.75 --config.eval.flip=True beside it.
Measured: not yet; the recipe starts from an ImageNet backbone (--config.train.init_from=FOLDER).

    python -m jaxseg.main --config=experiments/deeplab_v3_plus/voc.py --workdir=runs/v3_plus_voc
"""

from experiments.deeplab_v3 import voc
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import deeplab_v3_plus


def get_config() -> config.Experiment:
    """DeepLab v3's recipe (section 4); the decoder of Table 2: 48 channels, two 3x3 of 256."""
    experiment = voc.get_config()
    experiment.model = deeplab_v3_plus.DeepLabV3Plus(
        num_classes=21,
        backbone=experiment.model.backbone,
        atrous_rates=(6, 12, 18),
        decoder=deeplab_v3_plus.Decoder(
            "stage1_residual", low_level_features=48, features=256, convs=2
        ),
        norm=Norm(decay=0.9997),
    )
    return experiment
