"""Drawn objects (shapes/instances) with a small Mask R-CNN (arXiv 1703.06870) on a pyramid.

Expected: that objects which touch or overlap are told apart. Measured: see docs/results.md.

    python -m jaxseg.data.prepare --name=shapes/instances
    python -m jaxseg.main --config=experiments/mask_rcnn/shapes.py --workdir=runs/instances
"""

from jaxseg import config
from jaxseg.backbones.resnet import ResNet
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.layers.fpn import FPN
from jaxseg.layers.norm import Norm
from jaxseg.layers.roi_heads import ConvFCHead
from jaxseg.layers.rois import Sampling, Selection
from jaxseg.layers.rpn import RPN
from jaxseg.models.mask_rcnn import MaskHead, MaskRCNN


def get_config() -> config.Experiment:
    """A quarter-width ResNet-18, and heads of 64 features: one image costs about 0.1 s of CPU."""
    norm = Norm(decay=0.95)  # short runs
    return config.Experiment(
        model=MaskRCNN(
            num_classes=5,
            backbone=ResNet(depth=18, width=16, output_stride=32, stem="3x3x3", norm=norm),
            neck=FPN(features=64),
            # Objects of 7 to 84 pixels: one size a level, half of FPN's eighth of the stride.
            rpn=RPN(sizes=(8, 16, 32, 64, 96), before_nms=(200, 200), after_nms=(200, 100)),
            sampling=Sampling(count=64),
            box_head=ConvFCHead(fc_features=128),
            mask_head=MaskHead(layers=2, features=64),
            selection=Selection(count=50, candidates=200),
        ),
        data=config.Data(
            name="shapes/instances",
            batch_size=8,
            crop_size=(128, 128),
            instances=InstanceAugment(objects=24, short_side=(128,), long_side=128),
        ),
        optim=config.Optim(
            name="adamw", learning_rate=2e-3, warmup_steps=50, weight_decay=0.01, clip_norm=5.0
        ),
        train=config.Train(
            steps=600, log_every=25, eval_every=300, checkpoint_every=300, ema_decay=0.98
        ),
        eval=config.Eval(batch_size=20),
    )
