r"""mmdetection's Mask R-CNN (arXiv 1703.06870), ResNet-50 and FPN, with its released weights.

Expected: 38.2 box AP and 34.7 mask AP on val2017 for mask-rcnn_r50_fpn_1x_coco
(configs/mask_rcnn/README.md, style pytorch). Measured: not yet;
tests/other_libraries/test_released_detectors.py compares random weights. Departure: masks are drawn
as in torchvision.

    jaxseg evaluate --config=experiments/mask_rcnn/coco_mmdetection.py --workdir=runs/released \
        --weights=mask_rcnn_r50_fpn_1x_coco.pth
    jaxseg predict --config=experiments/mask_rcnn/coco_mmdetection.py \
        --weights=mask_rcnn_r50_fpn_1x_coco.pth --inputs=photos --output=out
"""

from jaxseg import config
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.models.compat_detection import mmdetection_mask_rcnn


def get_config() -> config.Experiment:
    """ImageNet's mean and deviation; short side 800, longest side 1333."""
    return config.Experiment(
        model=mmdetection_mask_rcnn(80),
        data=config.Data(
            name="coco",
            crop_size=(800, 1344),
            instances=InstanceAugment(short_side=(800,), long_side=1333),
            normalisation=config.Normalisation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
        ),
    )
