"""DeepLab v1 (arXiv 1412.7062) on PASCAL VOC 2012 trainaug: LargeFOV.

Expected: 62.25 mIoU on val, 67.64 with the CRF. Rows of the table of fields of view: 4x4 at rate 4
59.80 and 63.74, at rate 8 63.41 and 67.14, 7x7 64.38 and 67.64 (see the constructors in
jaxseg/models/deeplab_v1.py); with MSc, trained separately afterwards, 64.21 and 68.70.
Measured: not yet; the recipe starts from VGG-16 trained on ImageNet, with fc6 and fc7 thinned in
the conversion (jaxseg.convert --thin).

    python -m jaxseg.main --config=experiments/deeplab_v1/voc.py --workdir=runs/deeplab_v1_voc \
        --config.train.init_from=THINNED
"""

from jaxseg import config
from jaxseg.models import deeplab_v1


def get_config() -> config.Experiment:
    """Section 5: batch 20, 0.001 (the classifier ten times that), a tenth every 2,000 of 6,000.

    Trained on every 8th pixel of mirrored crops, without scaling. Unsure: the crop of 321 comes
    from a re-upload of the configuration, which has batch 30 and lowers the rate after 1,000 steps.
    """
    return config.Experiment(
        model=deeplab_v1.DeepLabV1(num_classes=21, backbone=deeplab_v1.large_fov_backbone()),
        data=config.Data(
            name="voc2012",
            train_split="trainaug",
            eval_split="val",
            batch_size=20,
            crop_size=(321, 321),
            augment=config.Augment(scale_range=(1.0, 1.0)),
            normalisation=config.Normalisation(
                mean=(122.675, 116.669, 104.008), std=(1.0, 1.0, 1.0)
            ),
        ),
        loss=config.Loss(cross_entropy=0.0, coarse=1.0),
        optim=config.Optim(
            learning_rate=1e-3,
            schedule="step",
            decay_steps=(2_000, 4_000),
            momentum=0.9,
            weight_decay=5e-4,
            multipliers=((r"/bias$", 2.0), (r"^classifier/", 10.0)),
        ),
        train=config.Train(steps=6_000),
        eval=config.Eval(size=(513, 513)),
    )
