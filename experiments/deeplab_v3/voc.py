"""DeepLab v3 (arXiv 1706.05587) with ResNet-101 on PASCAL VOC 2012 trainaug: Table 5, last row.

Expected: 77.21 mIoU on val at output stride 16, 78.51 at 8 (--config.eval.output_stride=8), 79.77
with --config.eval.scales=0.5,0.75,1,1.25,1.5,1.75 --config.eval.flip=True beside it (Table 6).
Measured: not yet; the recipe starts from an ImageNet backbone (--config.train.init_from=FOLDER).

    python -m jaxseg.main --config=experiments/deeplab_v3/voc.py --workdir=runs/deeplab_v3_voc
"""

from jaxseg import config
from jaxseg.backbones import resnet
from jaxseg.layers.norm import Norm
from jaxseg.models import deeplab_v3


def get_config() -> config.Experiment:
    """Section 4.1: crop 513, batch 16, poly 0.007 over 30,000 steps, batch norm trained.

    Norm decays are the released code's: 0.95 in the backbone, 0.9997 in ASPP. The weight decay of
    1e-4 is the released code's flag comment (research/deeplab/train.py); the paper is silent.
    The released code (tensorflow/models, research/deeplab/utils/train_utils.py,
    get_model_gradient_multipliers) doubles the learning rate of biases, which only the classifier
    has besides the norms.

    The network of the test server (85.7) is trained further on the official trainval at output
    stride 8 with frozen norms for 30,000 steps at 0.001, with the images of hard classes
    duplicated:
    --config.data.duplicate=bicycle,chair,diningtable,pottedplant,sofa
    """
    return config.Experiment(
        model=deeplab_v3.DeepLabV3(
            num_classes=21,
            backbone=resnet.ResNet(
                depth=101,
                output_stride=16,
                stem="3x3x3",
                stride_at="last_3x3",
                multi_grid=(1, 2, 4),
                norm=Norm(decay=0.95),
            ),
            atrous_rates=(6, 12, 18),
            image_pooling=True,
            norm=Norm(decay=0.9997),
        ),
        data=config.Data(
            name="voc2012",
            train_split="trainaug",
            eval_split="val",
            batch_size=16,
            crop_size=(513, 513),
            augment=config.Augment(scale_range=(0.5, 2.0), scale_step=0.25),
        ),
        optim=config.Optim(
            learning_rate=0.007,
            schedule="poly",
            power=0.9,
            weight_decay=1e-4,
            multipliers=((r"^classifier/bias$", 2.0),),
        ),
        train=config.Train(steps=30_000),
        eval=config.Eval(size=(513, 513)),
    )
