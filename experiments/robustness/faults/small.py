"""The run that faults are injected into: a SegNet-Basic of 2,000 parameters on 64 x 64 shapes.

Expected: the score does not matter; after any fault the run must end with the same bits.

    python -m experiments.robustness.faults --workdir=runs/faults
"""

from jaxseg import config
from jaxseg.layers.norm import CAFFE_NORM
from jaxseg.models import segnet_basic

DATA = "shapes/faults"
STEPS = 40  # the drill `kills` takes more


def get_config() -> config.Experiment:
    """Has everything that a resumed run could get wrong: dropout, batch norm, AdamW, an average."""
    return config.Experiment(
        model=segnet_basic.SegNetBasic(
            num_classes=7,
            width=8,
            stages=2,
            kernel_size=3,
            dropout=0.2,
            norm=CAFFE_NORM.with_decay(0.9),
        ),
        data=config.Data(
            name=DATA,
            batch_size=4,
            crop_size=(64, 64),
            augment=config.Augment(scale_range=(0.75, 1.25)),
            threads=2,
            prefetch=8,
        ),
        optim=config.Optim(name="adamw", learning_rate=2e-3, warmup_steps=10, clip_norm=5.0),
        train=config.Train(
            steps=STEPS,
            log_every=1,
            eval_every=20,
            checkpoint_every=4,
            keep=3,
            ema_decay=0.9,
            pictures=0,
        ),
        eval=config.Eval(batch_size=4),
    )
