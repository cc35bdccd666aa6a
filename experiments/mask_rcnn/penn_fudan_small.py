"""Pedestrians (Penn-Fudan) from random weights with a small Mask R-CNN, in 400 s of one core.

Mask R-CNN (arXiv 1703.06870) on ResNet-18 and a pyramid of 64 channels, images of 224 pixels.
Expected: at least the AP of the same network in torchvision after as many seconds,
`experiments/studies/penn_fudan_peer.py`. Measured: see docs/results.md.

    python -m jaxseg.data.prepare --name=penn_fudan --manual_dir=downloads
    python -m jaxseg.main --config=experiments/mask_rcnn/penn_fudan_small.py --workdir=runs/small
"""

from jaxseg import config
from jaxseg.backbones.resnet import ResNet
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.layers.fpn import FPN
from jaxseg.layers.norm import Norm
from jaxseg.layers.roi_heads import ConvFCHead
from jaxseg.layers.rois import Sampling
from jaxseg.layers.rpn import RPN
from jaxseg.models.mask_rcnn import MaskHead, MaskRCNN


def get_config() -> config.Experiment:
    """12.4 million parameters."""
    return config.Experiment(
        model=MaskRCNN(
            num_classes=1,
            backbone=ResNet(depth=18, output_stride=32, norm=Norm()),
            neck=FPN(features=64),
            # Half of FPN's sizes, as images are less than half as large.
            rpn=RPN(sizes=(16, 32, 64, 128, 256), before_nms=(500, 500), after_nms=(250, 250)),
            sampling=Sampling(count=64),
            box_head=ConvFCHead(fc_features=256),
            mask_head=MaskHead(layers=2, features=64),
        ),
        data=config.Data(
            name="penn_fudan",
            batch_size=4,
            crop_size=(224, 320),
            instances=InstanceAugment(
                objects=8, short_side=(224,), long_side=320, crop=0.7, jitter=0.2
            ),
        ),
        optim=config.Optim(
            name="adamw",
            learning_rate=1e-3,
            warmup_steps=20,
            weight_decay=0.01,
            decayed=("all",),
        ),
        train=config.Train(
            steps=300, log_every=25, eval_every=0, checkpoint_every=1000, pictures=0
        ),
        eval=config.Eval(batch_size=4),
    )
