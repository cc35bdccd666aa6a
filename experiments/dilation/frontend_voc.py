"""Dilated convolutions (arXiv 1511.07122) on PASCAL VOC 2012 trainaug: the front end.

Expected: 67.6 mIoU on test (Table 2). With COCO 69.8 on val, where the context module starts
(context_voc.py).
Measured: not yet; the recipe starts from VGG-16 trained on ImageNet.

    python -m jaxseg.main --config=experiments/dilation/frontend_voc.py \
        --workdir=runs/frontend_voc --config.train.init_from=VGG16 \
        --config.train.init_partial=True
"""

from jaxseg import config
from jaxseg.models import dilation


def get_config() -> config.Experiment:
    """Section 4: batch 14, SGD at 0.001 with momentum 0.9 over 60,000 steps.

    Trained on every 8th pixel: in the released code of the inner 128 of crops of 500, which include
    the 186 pixels around them. Departure: crops of 129, for the loss on every 8th pixel, mirrored
    at their own borders. Departure: the mean of ImageNet, which the weights of VGG-16 expect; the
    released network has that of VOC, (116.52, 111.36, 102.93).
    """
    return config.Experiment(
        model=dilation.Dilation(num_classes=21, backbone=dilation.front_end_backbone()),
        data=config.Data(
            name="voc2012",
            train_split="trainaug",
            eval_split="val",
            batch_size=14,
            crop_size=(129, 129),
            augment=config.Augment(scale_range=(1.0, 1.0)),
            normalisation=config.Normalisation(
                mean=(122.67892, 116.66877, 104.00699), std=(1.0, 1.0, 1.0)
            ),
        ),
        loss=config.Loss(cross_entropy=0.0, coarse=1.0),
        optim=config.Optim(
            learning_rate=1e-3,
            schedule="constant",
            momentum=0.9,
            weight_decay=5e-4,
            multipliers=((r"/bias$", 2.0),),
        ),
        train=config.Train(steps=60_000),
        eval=config.Eval(batch_size=4),
    )
