"""Pedestrians (PennFudanPed, 136 training images) with a small Mask R-CNN (arXiv 1703.06870).

Expected: torchvision's network of these sizes reached a box AP of 37.3 and a mask AP of 25.2 in 400
seconds of one CPU core, 286 steps, from random weights (one seed). Measured: see docs/results.md.

    python -m jaxseg.data.prepare --name=penn_fudan --manual_dir=FILES
    python -m jaxseg.main --config=experiments/mask_rcnn/penn_fudan.py --workdir=runs/penn_fudan
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
    """ResNet-18, a pyramid of 64 features, narrow heads; short sides around 224 pixels.

    AdamW at 0.001, which falls almost linearly to zero; flips, scales, and brightness.
    """
    norm = Norm(decay=0.95)  # 286 steps
    return config.Experiment(
        model=MaskRCNN(
            num_classes=1,
            backbone=ResNet(depth=18, output_stride=32, norm=norm),
            neck=FPN(features=64),
            rpn=RPN(sizes=(16, 32, 64, 128, 256), before_nms=(500, 250), after_nms=(250, 250)),
            sampling=Sampling(count=64),
            box_head=ConvFCHead(fc_features=256),
            mask_head=MaskHead(layers=2, features=64),
            selection=Selection(count=50, candidates=250),
        ),
        data=config.Data(
            name="penn_fudan",
            batch_size=4,
            crop_size=(256, 448),
            instances=InstanceAugment(
                objects=16, short_side=(192, 208, 224, 240, 256), long_side=448, jitter=0.2
            ),
        ),
        optim=config.Optim(name="adamw", learning_rate=1e-3, warmup_steps=20, weight_decay=1e-2),
        train=config.Train(
            steps=286, log_every=10, eval_every=0, checkpoint_every=100, ema_decay=0.98
        ),
        eval=config.Eval(batch_size=4),
    )
