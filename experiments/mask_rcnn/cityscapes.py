"""Mask R-CNN (arXiv 1703.06870) with ResNet-50 and FPN on the instances of Cityscapes, fine labels.

Expected: 31.5 mask AP on val, 26.2 on test (Table 7, unverified). Measured: not yet; the recipe
starts from an ImageNet backbone (--config.train.init_from=FOLDER).

    python -m jaxseg.main --config=experiments/mask_rcnn/cityscapes.py --workdir=runs/cityscapes
"""

from jaxseg import config
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.models.mask_rcnn import mask_rcnn_fpn


def get_config() -> config.Experiment:
    """Appendix A: short side of 800 to 1024, 8 images, 24,000 steps at 0.01, a tenth from 18,000.

    Unverified: no copy of the appendix was at hand. The short sides are multiples of 32, the
    largest one for evaluation, where the paper draws any number.
    """
    return config.Experiment(
        model=mask_rcnn_fpn(8),
        data=config.Data(
            name="cityscapes/instances",
            batch_size=8,
            crop_size=(1024, 2048),
            instances=InstanceAugment(short_side=tuple(range(800, 1025, 32)), long_side=2048),
        ),
        detection=config.Detection(box_beta=1.0, soft_masks=False),
        optim=config.Optim(
            learning_rate=0.01,
            schedule="step",
            decay_steps=(18_000,),
            warmup_steps=500,
            weight_decay=1e-4,
        ),
        train=config.Train(steps=24_000, eval_every=6_000, checkpoint_every=2_000),
        eval=config.Eval(batch_size=4),
    )
