"""Pedestrians (PennFudanPed) with Mask R-CNN (arXiv 1703.06870) on ResNet-50 and FPN, for one GPU.

Expected: the paper has no number for these 136 + 34 images. Measured: not yet; the recipe starts
from an ImageNet backbone (--config.train.init_from=FOLDER), or with
--config.train.init_partial=True from a Mask R-CNN that was trained on COCO.

    python -m jaxseg.data.prepare --name=penn_fudan --manual_dir=FILES
    python -m jaxseg.main --config=experiments/mask_rcnn/penn_fudan.py --workdir=runs/penn_fudan
"""

from jaxseg import config
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.models.mask_rcnn import mask_rcnn_fpn


def get_config() -> config.Experiment:
    """2,000 steps of 8 images, 118 passes; short sides of 352 to 512 pixels, 448 in evaluation."""
    return config.Experiment(
        model=mask_rcnn_fpn(1),
        data=config.Data(
            name="penn_fudan",
            batch_size=8,
            crop_size=(512, 832),
            instances=InstanceAugment(
                objects=16, short_side=(352, 384, 416, 480, 512, 448), long_side=832, jitter=0.2
            ),
        ),
        detection=config.Detection(box_beta=1.0),
        optim=config.Optim(
            learning_rate=0.01,
            schedule="step",
            decay_steps=(1_300, 1_800),
            warmup_steps=200,
            weight_decay=1e-4,
        ),
        train=config.Train(steps=2_000, eval_every=500, checkpoint_every=500),
        eval=config.Eval(batch_size=8),
    )
