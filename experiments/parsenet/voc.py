"""ParseNet (arXiv 1506.04579) on DeepLab LargeFOV, PASCAL VOC 2012 trainaug.

Expected: 69.8 mIoU on test, 67.3 for its baseline, LargeFOV without the module.
Measured: not yet; the recipe starts from VGG-16 trained on ImageNet, with fc6 and fc7 thinned in
the conversion.

    python -m jaxseg.main --config=experiments/parsenet/voc.py --workdir=runs/parsenet_voc \
        --config.train.init_from=THINNED
"""

from jaxseg import config
from jaxseg.models import parsenet


def get_config() -> config.Experiment:
    """The poly schedule, which this paper introduced to segmentation.

    Unsure: apart from that schedule and its power of 0.9 the paper's recipe is unknown.
    Rate, batch, crop, steps and the tenfold rate of the classifier are those of DeepLab v2 on
    LargeFOV.
    """
    return config.Experiment(
        model=parsenet.parsenet_large_fov(21),
        data=config.Data(
            name="voc2012",
            train_split="trainaug",
            eval_split="val",
            batch_size=10,
            crop_size=(321, 321),
            augment=config.Augment(scale_range=(1.0, 1.0)),
            normalisation=config.Normalisation(
                mean=(122.675, 116.669, 104.008), std=(1.0, 1.0, 1.0)
            ),
        ),
        optim=config.Optim(
            learning_rate=1e-3,
            schedule="poly",
            power=0.9,
            momentum=0.9,
            weight_decay=5e-4,
            multipliers=((r"/bias$", 2.0), (r"^classifier/", 10.0)),
        ),
        train=config.Train(steps=20_000),
        eval=config.Eval(size=(513, 513)),
    )
