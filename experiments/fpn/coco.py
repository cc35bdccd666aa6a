"""FPN (arXiv 1612.03144): an RPN on the pyramid of a ResNet-50, for proposals on COCO: Table 1 c.

Expected: AR of 44.0 with 100 proposals of an image and 56.3 with 1,000 on minival; 44.9, 63.4 and
66.2 of the small, medium and large objects. Measured: not yet; the recipe starts from an ImageNet
backbone (--config.train.init_from=FOLDER).

    python -m jaxseg.main --config=experiments/fpn/coco.py --workdir=runs/fpn_coco
"""

from jaxseg import config
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.models.fpn import BoxProposals, fpn_backbone


def get_config() -> config.Experiment:
    """Section 5.1: short side 800, 16 images, 0.02 for 30,000 steps and 0.002 for 10,000.

    256 anchors of an image count, also those that pass its border. The longest side of 1333 is
    Detectron's. Departure: the 80,000 images of training without 5,000 of validation that the paper
    trains on (trainval35k less minival) are those of train2017.
    """
    return config.Experiment(
        model=BoxProposals(fpn_backbone()),
        data=config.Data(
            name="coco",
            batch_size=16,
            crop_size=(800, 1344),
            instances=InstanceAugment(short_side=(800,), long_side=1333),
        ),
        optim=config.Optim(
            learning_rate=0.02, schedule="step", decay_steps=(30_000,), weight_decay=1e-4
        ),
        train=config.Train(steps=40_000, eval_every=10_000, checkpoint_every=5_000),
        eval=config.Eval(batch_size=8),
    )
