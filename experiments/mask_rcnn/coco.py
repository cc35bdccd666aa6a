"""Mask R-CNN (arXiv 1703.06870) with ResNet-101 and FPN on COCO: Table 2a.

Expected: 35.4 mask AP on minival (5,000 images, those of val2017), 57.3 AP50; ResNet-50
(--config.model.backbone.depth=50) 33.6 and 55.2. On test-dev ResNet-101 has 35.7 (Table 1).
Measured: not yet; the recipe starts from an ImageNet backbone (--config.train.init_from=FOLDER).

    python -m jaxseg.main --config=experiments/mask_rcnn/coco.py --workdir=runs/mask_rcnn_coco
"""

from jaxseg import config
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.models.mask_rcnn import mask_rcnn_fpn


def get_config() -> config.Experiment:
    """Section 3.1: short side 800, 16 images, 512 RoIs of each, 160,000 steps.

    The longest side of 1333, the warm-up, and smooth L1 that turns straight at 1 for the boxes of
    RoIs and at 1/9 for those of the RPN are Detectron's (core/config.py and
    configs/12_2017_baselines). Departure: Detectron begins its warm-up at a third of the rate.

    Departure: the RPN is trained together with the heads, as in the released code; the paper trains
    it by itself, for its tables. Targets of masks are binary, as in the paper.
    """
    return config.Experiment(
        model=mask_rcnn_fpn(80, depth=101),
        data=config.Data(
            name="coco",
            train_split="train",
            batch_size=16,
            crop_size=(800, 1344),
            instances=InstanceAugment(short_side=(800,), long_side=1333),
        ),
        detection=config.Detection(box_beta=1.0, soft_masks=False),
        optim=config.Optim(
            learning_rate=0.02,
            schedule="step",
            decay_steps=(120_000,),
            warmup_steps=500,
            weight_decay=1e-4,
        ),
        train=config.Train(steps=160_000, eval_every=20_000, checkpoint_every=5_000),
        eval=config.Eval(batch_size=8),
    )
