"""Faster R-CNN (arXiv 1506.01497) with ResNet-50 and FPN (1612.03144) on COCO: FPN's Table 3 c.

Expected: a box AP of 33.9, 56.9 AP50, on minival; with features shared by RPN and head, as here,
34.3 and 57.2 (Table 5); ResNet-101 (--config.model.backbone.depth=101) 35.2 and 58.2. Measured: not
yet; the recipe starts from an ImageNet backbone (--config.train.init_from=FOLDER).

    python -m jaxseg.main --config=experiments/faster_rcnn/coco.py --workdir=runs/faster_rcnn_coco
"""

from jaxseg import config
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.models.faster_rcnn import faster_rcnn_fpn


def get_config() -> config.Experiment:
    """Section 5.2: short side 800, 16 images, 512 RoIs, 60,000 steps at 0.02, 20,000 at 0.002.

    2,000 proposals of an image in training and 1,000 else. The longest side of 1333, and smooth L1
    that turns straight at 1 for the boxes of RoIs, are Detectron's (core/config.py). Departure: RPN
    and head are trained together; the paper trains one after the other.
    """
    return config.Experiment(
        model=faster_rcnn_fpn(80),
        data=config.Data(
            name="coco",
            batch_size=16,
            crop_size=(800, 1344),
            instances=InstanceAugment(short_side=(800,), long_side=1333),
        ),
        detection=config.Detection(box_beta=1.0),
        optim=config.Optim(
            learning_rate=0.02, schedule="step", decay_steps=(60_000,), weight_decay=1e-4
        ),
        train=config.Train(steps=80_000, eval_every=10_000, checkpoint_every=5_000),
        eval=config.Eval(batch_size=8),
    )
