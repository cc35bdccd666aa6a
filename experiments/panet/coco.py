"""PANet (arXiv 1803.01534) with ResNet-50 on COCO, all components.

Expected: 37.8 mask AP and 42.1 box AP on val2017, 38.3 and 43.1 in the authors' code with group
norms (README of ShuLiu1993/PANet), which this network is. Measured: not yet; the recipe starts from
an ImageNet backbone (--config.train.init_from=FOLDER).

    python -m jaxseg.main --config=experiments/panet/coco.py --workdir=runs/panet_coco
"""

from jaxseg import config
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.models.panet import panet


def get_config() -> config.Experiment:
    """The authors' e2e_panet_R-50-FPN_2x_mask: 180,000 steps of 16 images, six short sides.

    A tenth of the rate from step 120,000 and a hundredth from 160,000; evaluation at 1000. The
    paper, with the authors' Caffe: 120,000 steps at 0.02 and 40,000 at 0.002, short sides of 400 to
    1400 (unverified), and batch norms over all GPUs.
    """
    return config.Experiment(
        model=panet(80),
        data=config.Data(
            name="coco",
            batch_size=16,
            crop_size=(1216, 1408),
            instances=InstanceAugment(short_side=(400, 600, 800, 1200, 1200, 1000), long_side=1400),
        ),
        detection=config.Detection(box_beta=1.0, soft_masks=False),
        optim=config.Optim(
            learning_rate=0.02,
            schedule="step",
            decay_steps=(120_000, 160_000),
            warmup_steps=500,
            weight_decay=1e-4,
        ),
        train=config.Train(steps=180_000, eval_every=20_000, checkpoint_every=5_000),
        eval=config.Eval(batch_size=4),
    )
