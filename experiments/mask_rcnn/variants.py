"""The networks of Mask R-CNN's Table 2 on COCO: C4, C5 and FPN on ResNet-50."""

import dataclasses

from experiments.bases import small_instances
from experiments.mask_rcnn import coco
from jaxseg import config
from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.rois import Sampling
from jaxseg.models.faster_rcnn import C5, FROZEN, SINGLE_MAP
from jaxseg.models.mask_rcnn import MaskRCNN, mask_rcnn_c4, mask_rcnn_fpn


def c4() -> config.Experiment:
    """64 RoIs of an image, 300 proposals for evaluation (section 3.1)."""
    experiment = coco.get_config()
    network = mask_rcnn_c4(80)
    rpn = dataclasses.replace(SINGLE_MAP, after_nms=(2000, 300))
    experiment.model = network.clone(rpn=rpn, sampling=Sampling(count=64))
    return experiment


def c5() -> config.Experiment:
    """Stage 4 at stride 32 (Table 2d), with the heads of the pyramid.

    Departure: the heads of C5 are not described; they are those of Faster R-CNN on C5 in FPN's
    Table 3 b and of Figure 4, right.
    """
    experiment = coco.get_config()
    backbone = ResNet(50, output_stride=32, norm=FROZEN)
    experiment.model = MaskRCNN(80, backbone, C5, neck=None, rpn=SINGLE_MAP)
    return experiment


def fpn() -> config.Experiment:
    """ResNet-50 with FPN."""
    experiment = coco.get_config()
    experiment.model = mask_rcnn_fpn(80)
    return experiment


def half_c4() -> config.Experiment:
    """The size of hours on one GPU."""
    return small_instances.half_coco(c4())


def half_c5() -> config.Experiment:
    """The size of hours on one GPU."""
    return small_instances.half_coco(c5())


def half_fpn() -> config.Experiment:
    """The size of hours on one GPU."""
    return small_instances.half_coco(fpn())
