r"""torchvision's Mask R-CNN (arXiv 1703.06870), ResNet-50 and FPN, with its released weights.

Expected: 37.9 box AP and 34.6 mask AP on val2017, as torchvision documents for
`MaskRCNN_ResNet50_FPN_Weights.COCO_V1`. Measured: not yet; on random weights the detections are
those of torchvision (tests/other_libraries/test_released_detectors.py).

    jaxseg evaluate --config=experiments/mask_rcnn/coco_torchvision.py --workdir=runs/released \
        --weights=maskrcnn_resnet50_fpn_coco.pth
    jaxseg predict --config=experiments/mask_rcnn/coco_torchvision.py \
        --weights=maskrcnn_resnet50_fpn_coco.pth --inputs=photos --output=out
"""

from jaxseg import config
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.models.compat_detection import torchvision_mask_rcnn


def get_config() -> config.Experiment:
    """The images as torchvision sees them, and its constructor with the 80 categories of COCO.

    Of the 91 outputs in the file, those of ids that no object of COCO has are left out
    (`jaxseg.weights.tables.coco_categories`). A network of one's own classes has another number
    (--config.model.num_classes) and, as built without weights, a norm of kind "batch" or "frozen"
    and epsilon 1e-5.
    """
    return config.Experiment(
        model=torchvision_mask_rcnn(80),
        data=config.Data(
            name="coco",
            crop_size=(800, 1344),
            instances=InstanceAugment(short_side=(800,), long_side=1333),
            normalisation=config.Normalisation((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
        ),
    )
