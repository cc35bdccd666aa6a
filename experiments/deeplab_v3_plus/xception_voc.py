"""DeepLab v3+ (arXiv 1802.02611) with Xception-65 on PASCAL VOC 2012 trainaug: Table 5, "SC".

Expected: 79.79 mIoU on val at output stride 16, 80.02 at 8 (--config.eval.output_stride=8), 81.39
with --config.eval.scales=0.5,0.75,1,1.25,1.5,1.75 --config.eval.flip=True beside it; with COCO
before it 82.20, 82.45 and 83.58, the released model's figures.
Measured: not yet; the recipe starts from an ImageNet backbone (--config.train.init_from=FOLDER).

    python -m jaxseg.main --config=experiments/deeplab_v3_plus/xception_voc.py \
        --workdir=runs/v3_plus_xception_voc
"""

from experiments.deeplab_v3 import voc
from jaxseg import config
from jaxseg.backbones import xception
from jaxseg.layers.norm import Norm
from jaxseg.models import deeplab_v3_plus


def get_config() -> config.Experiment:
    """DeepLab v3's recipe (section 4) with separable ASPP and decoder.

    The weight decay is the released Xception recipe's; as there, depthwise kernels have none.
    """
    experiment = voc.get_config()
    experiment.model = deeplab_v3_plus.DeepLabV3Plus(
        num_classes=21,
        backbone=xception.Xception(
            depth=65, output_stride=16, norm=xception.NORM.with_decay(0.9997)
        ),
        atrous_rates=(6, 12, 18),
        separable=deeplab_v3_plus.Separable(aspp=True, decoder=True, init="truncated_normal"),
        decoder=deeplab_v3_plus.Decoder(
            "entry2_pointwise2", low_level_features=48, features=256, convs=2
        ),
        norm=Norm(decay=0.9997),
    )
    experiment.optim.weight_decay = 4e-5
    return experiment
