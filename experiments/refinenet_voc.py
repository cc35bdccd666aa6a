"""RefineNet (arXiv 1611.06612) with ResNet-101 on PASCAL VOC 2012 trainaug.

Expected: 80.5 mIoU on val with one scale, the figure of the PyTorch port (DrSleep); the paper gives
83.4 on test with ResNet-152, COCO and several scales. The released code's five:
--config.eval.scales=0.4,0.6,0.8,1,1.2
Measured: not yet; the recipe starts from an ImageNet backbone (--config.train.init_from=FOLDER).

    python -m jaxseg.main --config=experiments/refinenet_voc.py --workdir=runs/refinenet_voc
"""

from jaxseg import config
from jaxseg.models import refinenet

TRAIN_IMAGES = 10_582


def get_config() -> config.Experiment:
    """The released code's recipe: single images, frozen norms, 5e-4 and then a tenth of it.

    It scales by 0.7 to 1.3 in steps of 0.1, crops 400 pixels and enlarges the crop by 1.2: the same
    as scaling by 0.84 to 1.56 and cropping 480. The backbone learns a tenth as fast.

    Departure: the authors lower the rate by hand; when is not in the facts at hand, nor how long
    they train: 30 epochs and 10 more are ours. Each image is drawn for a random class, where the
    authors fill an epoch until every class has had its number. Pixels are normalised as
    torchvision's weights expect, where the authors' take off 128.
    """
    return config.Experiment(
        model=refinenet.RefineNet(
            num_classes=21, backbone=refinenet.refinenet_backbone(101, norm="frozen")
        ),
        data=config.Data(
            name="voc2012",
            train_split="trainaug",
            eval_split="val",
            batch_size=1,
            crop_size=(480, 480),
            scale_range=(0.84, 1.56),
            scale_step=0.12,
            class_crops=True,
            balance=True,
            mean=(123.675, 116.28, 103.53),
            std=(58.395, 57.12, 57.375),
        ),
        optim=config.Optim(
            learning_rate=5e-4,
            schedule="step",
            decay_steps=(30 * TRAIN_IMAGES,),
            decay_factor=0.1,
            momentum=0.9,
            weight_decay=5e-4,
            multipliers=((r"^backbone/", 0.1),),
        ),
        train=config.Train(steps=40 * TRAIN_IMAGES, eval_every=TRAIN_IMAGES),
    )
