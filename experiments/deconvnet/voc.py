"""DeconvNet (arXiv 1505.04366) on PASCAL VOC 2012 trainaug, without object proposals.

Expected: no figure is published for whole images. The paper's protocol, the maximum over 50
proposals per image, gives 69.6 mIoU on test (unverified).
Measured: not yet; the recipe starts from VGG-16 trained on ImageNet.

    python -m jaxseg.main --config=experiments/deconvnet/voc.py --workdir=runs/deconvnet_voc \
        --config.train.init_from=VGG16 --config.train.init_partial=True
"""

from jaxseg import config
from jaxseg.models import deconvnet


def get_config() -> config.Experiment:
    """The released solver of stage 2: crops of 224, batch 64 in 8 parts, SGD at 0.01, 40k steps.

    Departure: neither stage 1 (crops around single objects) nor the 2.7 million crops from EdgeBox
    proposals of stage 2, resized to 250 x 250: crops of 224 from the images at 0.45 to 0.9 of their
    size, the range around 250 of a side of 300 to 500. Departure: tested on whole images. Unsure:
    rare classes are duplicated in stage 2, but the paper does not say which: none are here
    (--config.data.duplicate=NAME,NAME).
    """
    return config.Experiment(
        model=deconvnet.DeconvNet(num_classes=21),
        data=config.Data(
            name="voc2012",
            train_split="trainaug",
            eval_split="val",
            batch_size=64,
            crop_size=(224, 224),
            augment=config.Augment(scale_range=(0.45, 0.9)),
            normalisation=config.Normalisation(
                mean=(122.675, 116.669, 104.008), std=(1.0, 1.0, 1.0)
            ),
        ),
        optim=config.Optim(
            learning_rate=0.01,
            schedule="step",
            decay_steps=(10_000, 20_000, 30_000),
            momentum=0.9,
            weight_decay=5e-4,
            multipliers=((r"(conv\d_\d|fc\d|fc6_deconv|classifier)/bias$", 2.0),),
        ),
        train=config.Train(steps=40_000, accumulate=8),
    )
