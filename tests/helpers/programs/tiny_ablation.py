"""An ablation of seconds, for tests of `launch.sweep`: two strides of a tiny network."""

from experiments.ablation import ablation
from jaxseg import config
from jaxseg.backbones import vgg
from jaxseg.layers.norm import Norm
from jaxseg.models import fcn


def _base() -> config.Experiment:
    return config.Experiment(
        model=fcn.FCN(
            num_classes=7,
            backbone=vgg.VGG(width=2, norm=Norm(decay=0.9)),
            head_features=8,
            fc6_padding=None,
        ),
        data=config.Data(
            name="shapes/tiny",
            batch_size=4,
            crop_size=(32, 32),
            augment=config.Augment(scale_range=(1.0, 1.0)),
            threads=1,
            prefetch=4,
        ),
        optim=config.Optim(name="adamw", learning_rate=1e-3),
        train=config.Train(steps=4, log_every=1, eval_every=0, checkpoint_every=2, pictures=0),
        eval=config.Eval(batch_size=4),
    )


def get_ablation() -> ablation.Ablation:
    tiny = ablation.Size(_base, seeds=(0, 1))
    return ablation.Ablation(
        title="Tiny",
        source="made up",
        rows=(
            ablation.Row("stride 8", {"model.stride": 8}, paper=60.0),
            ablation.Row("stride 8, flip", {"model.stride": 8, "eval.flip": True}, paper=61.0),
            ablation.Row(
                "stride 32", {"model.stride": 32, "train.init_partial": True}, start="stride 8"
            ),
        ),
        paper=tiny,
        camvid=tiny,
        shapes=tiny,
        cause="none",
    )
