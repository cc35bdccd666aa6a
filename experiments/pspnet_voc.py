"""PSPNet (arXiv 1612.01105) with ResNet-101 on PASCAL VOC 2012 trainaug.

Expected: 79.07 mIoU on val with one scale, 79.63 with six and flip, the figures of the authors' own
re-implementation (hszhao/semseg); the paper gives 82.6 on test without COCO.
Measured: not yet; the recipe starts from an ImageNet backbone (--config.train.init_from=FOLDER).

    python -m jaxseg.main --config=experiments/pspnet_voc.py --workdir=runs/pspnet_voc
"""

from jaxseg import config
from jaxseg.models import pspnet


def get_config() -> config.Experiment:
    """Section 5.1: crop 473, batch 16, poly 0.01, 30,000 steps, auxiliary weight 0.4.

    Views are turned by up to 10 degrees and blurred, each in half of the cases as in the authors'
    later code (hszhao/semseg), where new layers learn ten times as fast too. The 30,000 steps are
    quoted from memory in the facts at hand.
    """
    return config.Experiment(
        model=pspnet.PSPNet(num_classes=21, backbone=pspnet.pspnet_backbone(101)),
        data=config.Data(
            name="voc2012",
            train_split="trainaug",
            eval_split="val",
            batch_size=16,
            crop_size=(473, 473),
            scale_range=(0.5, 2.0),
            rotation=10.0,
            rotation_probability=0.5,
            blur=0.5,
            mean=(123.675, 116.28, 103.53),
            std=(58.395, 57.12, 57.375),
        ),
        loss=config.Loss(aux_weight=0.4),
        optim=config.Optim(
            learning_rate=0.01,
            schedule="poly",
            power=0.9,
            weight_decay=1e-4,
            multipliers=((r"^(?!backbone/)", 10.0),),
        ),
        train=config.Train(steps=30_000),
        eval=config.Eval(sliding=True, crop_size=(473, 473), stride=2 / 3),
    )
