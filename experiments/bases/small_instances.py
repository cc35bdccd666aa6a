"""The small base experiments of the detectors' tables at the sizes "shapes" and "camvid".

At the shapes size detectors are trained on `shapes/instances`, images of 128 x 128 pixels with
objects of 7 to 84; the networks are narrow and their maps have a few cells. They measure an effect
with a known cause, not a paper's number. The size "camvid", hours on one GPU, is COCO at half the
papers' size: detectors need more objects than CamVid has.

    python -m launch.sweep --ablation=mask_rcnn/table2c --size=shapes
"""

import dataclasses

import flax.linen as nn

from jaxseg import config
from jaxseg.backbones.resnet import ResNet
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.layers.fpn import FPN
from jaxseg.layers.norm import Norm
from jaxseg.layers.roi_heads import ConvFCHead
from jaxseg.layers.rois import Pooling, Sampling, Selection
from jaxseg.layers.rpn import RPN
from jaxseg.models.faster_rcnn import FasterRCNN
from jaxseg.models.fpn import BoxProposals, SegmentProposals
from jaxseg.models.mask_rcnn import MaskHead, MaskRCNN
from jaxseg.models.panet import FusionMaskHead, PathAggregation

CLASSES = 5  # of shapes/instances
SIDE = 128  # pixels of its images
NORM = Norm(decay=0.95)  # short runs
SIZES = (8, 16, 32, 64)  # of anchors: objects of 7 to 84 pixels
LEVEL_SIZES = (8, 16, 32, 64, 96)  # likewise, one a level from P2 to P6


def shapes(model: nn.Module, *, steps: int) -> config.Experiment:
    """AdamW and flips, without changes of scale, for any detector.

    Args:
      model: with a norm decay for short runs.
      steps: of batches of 8; 100 steps are one pass over the 800 training images.
    """
    return config.Experiment(
        model=model,
        data=config.Data(
            name="shapes/instances",
            batch_size=8,
            crop_size=(SIDE, SIDE),
            instances=InstanceAugment(objects=24, short_side=(SIDE,), long_side=SIDE),
        ),
        optim=config.Optim(
            name="adamw", learning_rate=3e-3, warmup_steps=50, weight_decay=0.01, clip_norm=5.0
        ),
        train=config.Train(
            steps=steps, log_every=50, eval_every=0, checkpoint_every=steps, ema_decay=0.98
        ),
        eval=config.Eval(batch_size=20),
    )


def resnet(units: tuple[int, ...] = (1, 1, 1, 1), width: int = 16) -> ResNet:
    """Basic units, narrow; the 7x7 stem costs a third of three 3x3 convolutions."""
    return ResNet(
        depth=18,
        stage_units=units,
        width=width,
        output_stride=2 ** (len(units) + 1),
        norm=NORM,
    )


def single_map(units: tuple[int, ...] = (1, 2), *, steps: int) -> config.Experiment:
    """Mask R-CNN on the last map of a few stages: of two at stride 8, of three at 16."""
    return shapes(
        MaskRCNN(
            num_classes=CLASSES,
            backbone=resnet(units, width=32),
            levels=(f"stage{len(units)}",),
            neck=None,
            rpn=RPN(sizes=SIZES, before_nms=(100, 100), after_nms=(50, 50)),
            sampling=Sampling(count=32, positive_fraction=0.5),
            box_head=ConvFCHead(fc_features=128),
            mask_head=MaskHead(layers=2, features=64, size=7),
            selection=Selection(count=50, candidates=200),
        ),
        steps=steps,
    )


def pyramid(*, steps: int) -> config.Experiment:
    """Mask R-CNN on P2 to P6 of 32 features."""
    return shapes(
        MaskRCNN(
            num_classes=CLASSES,
            backbone=resnet(width=16),
            neck=FPN(features=32),
            rpn=RPN(sizes=LEVEL_SIZES, before_nms=(50, 50), after_nms=(50, 50)),
            sampling=Sampling(count=32, positive_fraction=0.5),
            box_head=ConvFCHead(fc_features=128),
            mask_head=MaskHead(layers=2, features=64, size=7),
            selection=Selection(count=50, candidates=200),
        ),
        steps=steps,
    )


def boxes(*, steps: int) -> config.Experiment:
    """Faster R-CNN: `pyramid` without masks."""
    experiment = pyramid(steps=steps)
    whole = experiment.model
    assert isinstance(whole, MaskRCNN)
    experiment.model = FasterRCNN(
        num_classes=CLASSES,
        backbone=whole.backbone,
        neck=whole.neck,
        rpn=whole.rpn,
        sampling=whole.sampling,
        box_head=whole.box_head,
        selection=whole.selection,
    )
    return experiment


def path_aggregation(*, steps: int) -> config.Experiment:
    """PANet with all of its components, as small as `pyramid`."""
    experiment = pyramid(steps=steps)
    experiment.model = experiment.model.clone(
        neck=PathAggregation(features=32),
        pooling=Pooling(adaptive=True),
        box_head=ConvFCHead(convs=2, fcs=1, conv_features=32, fc_features=128),
        mask_head=FusionMaskHead(features=32, size=7),
    )
    return experiment


def proposals(*, steps: int) -> config.Experiment:
    """An RPN on P2 to P6, which keeps 30 proposals of an image, six for each of its objects."""
    model = BoxProposals(
        resnet(width=16),
        neck=FPN(features=32),
        rpn=RPN(sizes=LEVEL_SIZES, before_nms=(100, 100), after_nms=(30, 30)),
    )
    return shapes(model, steps=steps)


def segments(*, steps: int) -> config.Experiment:
    """Segment proposals on P2 to P5, of scales from 8 to 64 pixels; 30 of an image."""
    model = SegmentProposals(
        resnet(width=16),
        neck=FPN(features=32),
        half_octaves=False,
        finest_scale=8.0,
        features=64,
        samples=64,
        count=30,
    )
    return shapes(model, steps=steps)


def half_anchors(model: nn.Module) -> nn.Module:
    """A detector of the papers' sizes for images half as large."""
    rpn = model.rpn
    return model.clone(rpn=dataclasses.replace(rpn, sizes=tuple(size // 2 for size in rpn.sizes)))


def half_coco(experiment: config.Experiment) -> config.Experiment:
    """COCO at half of the experiment's size, 30,000 steps of 16 images: hours on one GPU."""
    data = experiment.data
    if not isinstance(experiment.model, SegmentProposals):
        experiment.model = half_anchors(experiment.model)
    data.crop_size = (400, 672)
    data.instances = InstanceAugment(short_side=(400,), long_side=667)
    experiment.optim.warmup_steps = 500
    experiment.optim.decay_steps = (20_000, 27_000)
    experiment.train = config.Train(steps=30_000)
    return experiment
