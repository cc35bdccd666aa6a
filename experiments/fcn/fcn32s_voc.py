"""FCN-32s (arXiv 1605.06211; 1411.4038) on PASCAL VOC 2012 trainaug: the first of three stages.

Expected: 63.6 mIoU, the released model's on 736 images of VOC 2011 val (59.4 in the first paper).
Measured: not yet; the recipe starts from VGG-16 trained on ImageNet.

    python -m jaxseg.main --config=experiments/fcn/fcn32s_voc.py --workdir=runs/fcn32s_voc \
        --config.train.init_from=VGG16 --config.train.init_partial=True

Then fcn16s_voc.py and fcn8s_voc.py, each from the run before.
"""

from jaxseg import config
from jaxseg.backbones import vgg
from jaxseg.models import fcn


def get_config() -> config.Experiment:
    """The released solver: one whole image per step, momentum 0.99, the loss summed over pixels.

    Images of VOC have no side over 500, so crops of 500 are whole images; beyond a smaller image a
    crop is void. The learning rate depends on the momentum and the sum over pixels: here it
    corresponds to 2e-5 for a mean. No mirroring and no scaling: the first paper saw no gain from
    them.

    Departure: the released models were trained on SBD's 8,498 images and tested on those 736 of
    VOC 2011 val that are not among them; here it is trainaug, and val of VOC 2012.
    """
    return config.Experiment(
        model=fcn.FCN(num_classes=21, backbone=vgg.VGG(image_padding=100), stride=32),
        data=config.Data(
            name="voc2012",
            train_split="trainaug",
            eval_split="val",
            batch_size=1,
            crop_size=(500, 500),
            augment=config.Augment(scale_range=(1.0, 1.0), flip=False),
            normalisation=config.Normalisation(
                mean=(122.67892, 116.66877, 104.00699), std=(1.0, 1.0, 1.0)
            ),
        ),
        loss=config.Loss(reduction="images"),
        optim=config.Optim(
            learning_rate=1e-10,
            schedule="constant",
            momentum=0.99,
            weight_decay=5e-4,
            multipliers=((r"/bias$", 2.0),),
        ),
        train=config.Train(steps=100_000, eval_every=4_000, checkpoint_every=4_000),
        eval=config.Eval(batch_size=1),
    )
