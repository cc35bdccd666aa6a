"""An ablation of seconds, for tests of `launch.sweep`: two networks that propose boxes."""

from experiments.ablation import ablation
from experiments.bases import small_instances
from jaxseg import config
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.layers.rpn import RPN
from jaxseg.models.fpn import BoxProposals


def _base() -> config.Experiment:
    backbone = small_instances.resnet((1,), width=4)
    rpn = RPN(sizes=(8, 16), before_nms=(10, 10), after_nms=(5, 5))
    experiment = small_instances.shapes(
        BoxProposals(backbone, levels=("stage1",), neck=None, rpn=rpn), steps=2
    )
    experiment.data.batch_size = 2
    experiment.data.crop_size = (32, 32)
    experiment.data.instances = InstanceAugment(objects=6, short_side=(32,), long_side=32)
    experiment.optim.warmup_steps = 0
    return experiment


def get_ablation() -> ablation.Ablation:
    tiny = ablation.Size(_base, seeds=(0,))
    return ablation.Ablation(
        title="Tiny",
        source="made up",
        rows=(
            ablation.Row("two sizes", paper=60.0),
            ablation.Row("one size", {"model.rpn.sizes": (8,)}, paper=61.0),
        ),
        paper=tiny,
        camvid=tiny,
        shapes=tiny,
        cause="none",
        metric="box AR@100",
    )
