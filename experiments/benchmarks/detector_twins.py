"""Mask R-CNN of torchvision's parts with the fields of one of ours, and random weights for it."""

from typing import Any

import torch
from torchvision import models
from torchvision.models import detection
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

# Standard deviations of the outputs in those of their inputs; of other layers 2 ** 0.5.
_GAINS = {"cls_logits": 0.3, "bbox_pred": 0.05, "cls_score": 1.0, "mask_fcn_logits": 1.0}


def twin_of(model: Any, min_size: int, max_size: int) -> detection.MaskRCNN:
    """The network of a `MaskRCNN` with a pyramid and batch norm, with torchvision's initial values.

    Args:
      model: ours.
      min_size: of images, as torchvision resizes them.
      max_size: likewise.
    """
    depth, features, rpn = model.backbone.depth, model.neck.features, model.rpn
    body = getattr(models, f"resnet{depth}")(weights=None)
    widths = [width * (1 if depth < 50 else 4) for width in (64, 128, 256, 512)]
    names = {f"layer{number}": str(number - 1) for number in (1, 2, 3, 4)}
    backbone = detection.backbone_utils.BackboneWithFPN(
        body, names, widths, features, extra_blocks=LastLevelMaxPool()
    )
    hidden, classes = model.box_head.fc_features, model.num_classes + 1
    of_masks = (model.mask_head.features,) * model.mask_head.layers
    return detection.MaskRCNN(
        backbone,
        min_size=min_size,
        max_size=max_size,
        rpn_anchor_generator=detection.rpn.AnchorGenerator(
            tuple((size,) for size in rpn.sizes), (rpn.ratios,) * len(rpn.sizes)
        ),
        rpn_pre_nms_top_n_train=rpn.before_nms[0],
        rpn_pre_nms_top_n_test=rpn.before_nms[1],
        rpn_post_nms_top_n_train=rpn.after_nms[0],
        rpn_post_nms_top_n_test=rpn.after_nms[1],
        box_head=detection.faster_rcnn.TwoMLPHead(features * model.box_head.size**2, hidden),
        box_predictor=detection.faster_rcnn.FastRCNNPredictor(hidden, classes),
        box_batch_size_per_image=model.sampling.count,
        mask_head=detection.mask_rcnn.MaskRCNNHeads(features, of_masks, 1),
        mask_predictor=detection.mask_rcnn.MaskRCNNPredictor(of_masks[-1], of_masks[-1], classes),
    )


def scatter_weights(network: detection.MaskRCNN, images: torch.Tensor) -> None:
    """Gives it random weights under which scores differ and all detections are found.

    Args:
      network: to be changed.
      images: [B, 3, H, W], normalised, whose statistics the norms take.
    """
    generator = torch.Generator().manual_seed(0)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for name, module in network.named_modules():
            if module in norms:
                module.weight.uniform_(0.5, 1.0, generator=generator)
                module.bias.uniform_(-0.3, 0.3, generator=generator)
                module.momentum = 1.0
            elif hasattr(module, "weight"):
                deviation = _GAINS.get(name.rpartition(".")[2], 2**0.5)
                deviation *= module.weight[0].numel() ** -0.5
                module.weight.normal_(0, deviation, generator=generator)
                if module.bias is not None:
                    module.bias.uniform_(-0.1, 0.1, generator=generator)
        network.train().backbone(images)
    for norm in norms:
        norm.momentum = 0.1


def counting(network: detection.MaskRCNN) -> dict[str, int]:
    """Numbers of the last batch, by hooks: RoIs that the box head and the mask head have seen."""
    counts = {"rois": 0, "mask_rois": 0}

    def count(name: str, module: torch.nn.Module) -> None:
        def hook(module: Any, inputs: Any, output: torch.Tensor) -> None:
            counts[name] = len(output)

        module.register_forward_hook(hook)

    count("rois", network.roi_heads.box_head)
    count("mask_rois", network.roi_heads.mask_head)
    return counts
