r"""detectron2's Mask R-CNN (arXiv 1703.06870), ResNet-50 and FPN, with its released weights.

Expected: 38.6 box AP and 35.2 mask AP on val2017 for mask_rcnn_R_50_FPN_1x, 41.0 and 37.2 for 3x
(detectron2's MODEL_ZOO.md). Measured: not yet; tests/other_libraries/test_released_detectors.py
compares random weights. Departure: masks are drawn as in torchvision.

    jaxseg evaluate --config=experiments/mask_rcnn/coco_detectron2.py --workdir=runs/released \
        --weights=model_final.pkl
    jaxseg predict --config=experiments/mask_rcnn/coco_detectron2.py \
        --weights=model_final.pkl --inputs=photos --output=out
"""

from jaxseg import config
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.models.compat_detection import detectron2_mask_rcnn_fpn


def get_config() -> config.Experiment:
    """Pixels less MSRA's mean, without a deviation; short side 800, longest side 1333."""
    return config.Experiment(
        model=detectron2_mask_rcnn_fpn(80),
        data=config.Data(
            name="coco",
            crop_size=(800, 1344),
            instances=InstanceAugment(short_side=(800,), long_side=1333),
            normalisation=config.Normalisation((123.675, 116.28, 103.53), (1.0, 1.0, 1.0)),
        ),
    )
