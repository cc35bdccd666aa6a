"""DeepLab v2 (arXiv 1606.00915) on ResNet-101, PASCAL VOC 2012 trainaug: ASPP at three scales.

Expected: 76.35 mIoU on val from the weights of COCO, 77.69 with the CRF. The table adds one
component after the other: 68.72 for the network alone, 71.27 with three scales
(--config.model.scales=1.0,
removes them), 73.28 from COCO, 74.87 with scaled crops (--config.data.augment.scale_range=1,1),
75.54 with LargeFOV (--config.model.atrous_rates=12,) and 76.35 with ASPP in its place.
Measured: not yet; the recipe starts from ResNet-101 trained on ImageNet, then COCO.

    python -m jaxseg.main --config=experiments/deeplab_v2/resnet_voc.py --workdir=runs/deeplab_v2 \
        --config.train.init_from=RESNET101 --config.train.init_partial=True
"""

from jaxseg import config
from jaxseg.models import deeplab_v2


def get_config() -> config.Experiment:
    """Sections 4.1.1 and 4.1.2: batch 10, poly 2.5e-4 over 20,000 steps, four losses.

    The losses are those of the three scales and of their maximum, on every 8th pixel of their maps.
    Crops of
    321 from images at 0.5 to 1.5; the head learns ten times as fast, its biases twenty times, norms
    not at all: neither statistics nor scales and biases. Crop, scales and multipliers are those of
    the released network and of kazuto1011's port, which reaches 76.65.
    """
    return config.Experiment(
        model=deeplab_v2.DeepLabV2(
            num_classes=21,
            backbone=deeplab_v2.deeplab_v2_resnet(101),
            atrous_rates=deeplab_v2.ASPP_L,
            scales=deeplab_v2.MSC,
        ),
        data=config.Data(
            name="voc2012",
            train_split="trainaug",
            eval_split="val",
            batch_size=10,
            crop_size=(321, 321),
            augment=config.Augment(scale_range=(0.5, 1.5), scale_step=0.25),
            normalisation=config.Normalisation(
                mean=(122.675, 116.669, 104.008), std=(1.0, 1.0, 1.0)
            ),
        ),
        loss=config.Loss(cross_entropy=0.0, coarse=1.0),
        optim=config.Optim(
            learning_rate=2.5e-4,
            schedule="poly",
            power=0.9,
            momentum=0.9,
            weight_decay=5e-4,
            multipliers=(
                (r"^aspp/", 10.0),
                (r"^aspp/.*/bias$", 2.0),
                (r"norm/(scale|bias)$", 0.0),
            ),
        ),
        train=config.Train(steps=20_000),
        eval=config.Eval(size=(513, 513)),
    )
