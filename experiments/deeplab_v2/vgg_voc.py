"""DeepLab v2 (arXiv 1606.00915) on VGG-16, PASCAL VOC 2012 trainaug: ASPP-L.

Expected: 68.96 mIoU on val, 71.57 with the CRF. ASPP-S (--config.model.atrous_rates=2,4,8,12) 66.98
and 69.73; LargeFOV (--config.model.atrous_rates=12,) 65.76 and 69.84. With LargeFOV, batch 30 and
6,000 steps the poly schedule gives 63.42, steps of it 62.25.
Measured: not yet; the recipe starts from VGG-16 trained on ImageNet, with fc6 and fc7 thinned in
the conversion.

    python -m jaxseg.main --config=experiments/deeplab_v2/vgg_voc.py --workdir=runs/deeplab_v2_vgg \
        --config.train.init_from=THINNED
"""

from jaxseg import config
from jaxseg.models import deeplab_v1, deeplab_v2


def get_config() -> config.Experiment:
    """Section 4.1.1: batch 10, poly 0.001 over 20,000 steps, on every 8th pixel of mirrored crops.

    The crop of 321 and the multipliers come from a re-upload of the configuration.
    """
    return config.Experiment(
        model=deeplab_v2.DeepLabV2(
            num_classes=21,
            backbone=deeplab_v1.large_fov_backbone(),
            atrous_rates=deeplab_v2.ASPP_L,
            head_features=1024,
        ),
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
        loss=config.Loss(cross_entropy=0.0, coarse=1.0),
        optim=config.Optim(
            learning_rate=1e-3,
            schedule="poly",
            power=0.9,
            momentum=0.9,
            weight_decay=5e-4,
            multipliers=((r"/bias$", 2.0), (r"^aspp/classifier", 10.0)),
        ),
        train=config.Train(steps=20_000),
        eval=config.Eval(size=(513, 513)),
    )
