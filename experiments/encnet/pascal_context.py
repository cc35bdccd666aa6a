"""EncNet (arXiv 1803.08904) with ResNet-101 on PASCAL Context, the 59 classes without background.

Expected: 51.7 mIoU on val with one scale, 52.6 with six and flip (--protocol=encnet_multi). Over 60
classes the authors count background as entirely wrong: there 52.6 becomes 51.7, equal to the
single-scale figure by coincidence.
ResNet-50 (--config.model.backbone.depth=50): 49.2, and 47.6 with --config.loss.presence=0.
Measured: not yet; the recipe starts from an ImageNet backbone (--config.train.init_from=FOLDER).

    python -m jaxseg.data.prepare --name=pascal_context --manual_dir=PASCAL_CONTEXT
    python -m jaxseg.main --config=experiments/encnet/pascal_context.py --workdir=runs/encnet
"""

from jaxseg import config
from jaxseg.inference import protocols
from jaxseg.models import encnet

TRAIN_IMAGES = 4_998  # 4,996 in the later publication of the data set
EPOCHS = 50


def get_config() -> config.Experiment:
    """Section 4.1: crop 480, batch 16, poly 0.001 over 50 epochs, SE-loss 0.2.

    From the authors' code (zhanghang1989/PyTorch-Encoding, experiments/segmentation/train.py and
    option.py, encoding/datasets/base.py, encoding/models/base.py): new layers learn ten times as
    fast, auxiliary weight 0.2, weight decay 1e-4 on all parameters as in torch's SGD, long sides of
    520 times 0.5 to 2; evaluated at a long side of 520 with the mirror image. Its later networks
    reach 54.1 with lateral connections from stages 2 and 3 and 80 epochs
    (--config.model.lateral=True
    --config.train.steps=24990). Rates and epochs of the paper are unverified.

    Departure: the padding of a crop is void here; there it has raw class 0, the background, which
    this data set maps to void too.
    """
    return config.Experiment(
        model=encnet.EncNet(num_classes=59, backbone=encnet.encnet_backbone(101)),
        data=config.Data(
            name="pascal_context",
            batch_size=16,
            crop_size=(480, 480),
            augment=config.Augment(
                long_side=520, scale_range=(0.5, 2.0), rotation=10.0, border="zero"
            ),
            normalisation=config.Normalisation(
                mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
            ),
        ),
        loss=config.Loss(aux_weight=0.2, presence=0.2),
        optim=config.Optim(
            learning_rate=1e-3,
            schedule="poly",
            power=0.9,
            weight_decay=1e-4,
            decayed=("all",),
            multipliers=((r"^(?!backbone/)", 10.0),),
        ),
        train=config.Train(steps=EPOCHS * TRAIN_IMAGES // 16),
        eval=protocols.named("encnet", config.Eval()),
    )
