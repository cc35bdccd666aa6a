"""Detectors of other libraries, where they differ from the papers', as configured models.

    torchvision_mask_rcnn(90)       # torchvision.models.detection.maskrcnn_resnet50_fpn, 91 classes
    detectron2_mask_rcnn_fpn(80)    # COCO-InstanceSegmentation/mask_rcnn_R_50_FPN
    mmdetection_mask_rcnn(80)       # mask-rcnn_r50_fpn of versions 2 and 3

A class less than torchvision counts: the background is none here.
"""

from jaxseg.backbones.resnet import UNITS, ResNet
from jaxseg.layers.fpn import FPN
from jaxseg.layers.norm import Norm
from jaxseg.layers.roi_heads import ConvFCHead
from jaxseg.layers.rois import Pooling, Selection
from jaxseg.layers.rpn import RPN
from jaxseg.models.faster_rcnn import C4, C5, FROZEN, FasterRCNN, Res5Head
from jaxseg.models.mask_rcnn import MaskHead, MaskRCNN

RELEASED_V1 = Norm("frozen", epsilon=0.0)  # as torchvision runs its weights of COCO
_DETECTRON2 = Pooling(sampling=0, aligned=True)
# Proposals of no width are dropped, any other box is kept.
_DETECTRON2_RPN = RPN(
    before_nms=(2000, 1000), after_nms=(1000, 1000), least_side=1e-30, rounded=False
)
_DETECTRON2_MAP = RPN(
    before_nms=(12000, 6000), after_nms=(2000, 1000), least_side=1e-30, rounded=False
)
_DETECTRON2_SELECTION = Selection(least_side=0.0)


def torchvision_faster_rcnn(
    num_classes: int, depth: int = 50, norm: Norm = RELEASED_V1
) -> FasterRCNN:
    """torchvision's `fasterrcnn_resnet50_fpn`; built without weights there its norm is `Norm()`."""
    return FasterRCNN(num_classes, ResNet(depth, output_stride=32, norm=norm))


def torchvision_faster_rcnn_v2(num_classes: int, depth: int = 50) -> FasterRCNN:
    """torchvision's `fasterrcnn_resnet50_fpn_v2`: batch norm also in the pyramid and the head."""
    return FasterRCNN(
        num_classes,
        ResNet(depth, output_stride=32, norm=Norm()),
        neck=FPN(norm=Norm()),
        rpn=RPN(convs=2),
        box_head=ConvFCHead(convs=4, fcs=1, norm=Norm()),
    )


def torchvision_mask_rcnn(num_classes: int, depth: int = 50, norm: Norm = RELEASED_V1) -> MaskRCNN:
    """torchvision's `maskrcnn_resnet50_fpn`; built without weights there its norm is `Norm()`."""
    return MaskRCNN(num_classes, ResNet(depth, output_stride=32, norm=norm))


def torchvision_mask_rcnn_v2(num_classes: int, depth: int = 50) -> MaskRCNN:
    """torchvision's `maskrcnn_resnet50_fpn_v2`: batch norm also in the pyramid and both heads."""
    return MaskRCNN(
        num_classes,
        ResNet(depth, output_stride=32, norm=Norm()),
        neck=FPN(norm=Norm()),
        rpn=RPN(convs=2),
        box_head=ConvFCHead(convs=4, fcs=1, norm=Norm()),
        mask_head=MaskHead(norm=Norm()),
    )


def detectron2_faster_rcnn_fpn(num_classes: int, depth: int = 50) -> FasterRCNN:
    """detectron2's COCO-Detection/faster_rcnn_R_50_FPN; classes and boxes of things alone."""
    return FasterRCNN(
        num_classes,
        _detectron2_resnet(depth),
        rpn=_DETECTRON2_RPN,
        pooling=_DETECTRON2,
        background_outputs=False,
        selection=_DETECTRON2_SELECTION,
    )


def detectron2_faster_rcnn_c4(num_classes: int, depth: int = 50) -> FasterRCNN:
    """detectron2's faster_rcnn_R_50_C4."""
    return FasterRCNN(
        num_classes,
        _detectron2_resnet(depth, stages=3),
        C4,
        neck=None,
        rpn=_DETECTRON2_MAP,
        pooling=_DETECTRON2,
        box_head=_detectron2_res5(depth),
        background_outputs=False,
        selection=_DETECTRON2_SELECTION,
    )


def detectron2_faster_rcnn_dc5(num_classes: int, depth: int = 50) -> FasterRCNN:
    """detectron2's faster_rcnn_R_50_DC5: stage 4 made atrous at stride 16.

    Departure: the 3x3 convolution of the RPN has rate 2, by the law of strides and rates; in
    detectron2 it has rate 1.
    """
    return FasterRCNN(
        num_classes,
        _detectron2_resnet(depth, output_stride=16),
        C5,
        neck=None,
        rpn=_DETECTRON2_MAP,
        pooling=_DETECTRON2,
        background_outputs=False,
        selection=_DETECTRON2_SELECTION,
    )


def detectron2_mask_rcnn_fpn(num_classes: int, depth: int = 50) -> MaskRCNN:
    """detectron2's COCO-InstanceSegmentation/mask_rcnn_R_50_FPN."""
    return MaskRCNN(
        num_classes,
        _detectron2_resnet(depth),
        rpn=_DETECTRON2_RPN,
        pooling=_DETECTRON2,
        background_outputs=False,
        selection=_DETECTRON2_SELECTION,
    )


def detectron2_mask_rcnn_c4(num_classes: int, depth: int = 50) -> MaskRCNN:
    """detectron2's mask_rcnn_R_50_C4."""
    return MaskRCNN(
        num_classes,
        _detectron2_resnet(depth, stages=3),
        C4,
        neck=None,
        rpn=_DETECTRON2_MAP,
        pooling=_DETECTRON2,
        box_head=_detectron2_res5(depth),
        mask_head=MaskHead(layers=0),
        shared_head=True,
        background_outputs=False,
        selection=_DETECTRON2_SELECTION,
    )


def mmdetection_faster_rcnn(num_classes: int, depth: int = 50) -> FasterRCNN:
    """mmdetection's faster-rcnn_r50_fpn, style "pytorch": detectron2's on torchvision's ResNet."""
    return FasterRCNN(
        num_classes,
        ResNet(depth, output_stride=32, norm=FROZEN),
        rpn=_DETECTRON2_RPN,
        pooling=_DETECTRON2,
        background_outputs=False,
        selection=_DETECTRON2_SELECTION,
    )


def mmdetection_mask_rcnn(num_classes: int, depth: int = 50) -> MaskRCNN:
    """mmdetection's mask-rcnn_r50_fpn, style "pytorch", likewise.

    Departure: all norms are frozen. In training, mmdetection keeps the statistics of the norms but
    learns their scales and shifts from stage 2 on.
    """
    return MaskRCNN(
        num_classes,
        ResNet(depth, output_stride=32, norm=FROZEN),
        rpn=_DETECTRON2_RPN,
        pooling=_DETECTRON2,
        background_outputs=False,
        selection=_DETECTRON2_SELECTION,
    )


def _detectron2_resnet(depth: int, stages: int = 4, output_stride: int = 0) -> ResNet:
    """MSRA's ResNets, whose stride is at the first 1x1 convolution."""
    return ResNet(
        depth,
        UNITS[depth][:stages],
        output_stride=output_stride or 2 ** (stages + 1),
        stride_at="first_1x1",
        norm=FROZEN,
    )


def _detectron2_res5(depth: int) -> Res5Head:
    return Res5Head(UNITS[depth][3], stride_at="first_1x1", norm=FROZEN)
