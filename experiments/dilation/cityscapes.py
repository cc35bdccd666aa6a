"""Dilation10 (arXiv 1511.07122) on Cityscapes, in three stages.

Expected: 68.7 mIoU on val, 67.1 on test.
Measured: not yet; the first stage starts from VGG-16.

    python -m jaxseg.data.prepare --name=cityscapes --manual_dir=CITYSCAPES
    python -m jaxseg.main --config=experiments/dilation/cityscapes.py:front_end \
        --workdir=runs/city_front_end --config.train.init_from=VGG16 \
        --config.train.init_partial=True
    python -m jaxseg.main --config=experiments/dilation/cityscapes.py:context \
        --workdir=runs/city_context --config.train.init_from=runs/city_front_end \
        --config.train.init_partial=True
    python -m jaxseg.main --config=experiments/dilation/cityscapes.py:joint \
        --workdir=runs/dilation10 --config.train.init_from=runs/city_context
"""

from jaxseg import config
from jaxseg.models import dilation

STAGES = ("front_end", "context", "joint")


def get_config(stage: str = "joint") -> config.Experiment:
    """Appendix A: 40,000 steps of the front end, 24,000 of the context, 60,000 of both.

    The context stage sees whole images, a hundred per step, with a frozen front end. Joint inputs
    of 1396 pixels have 1024 in their middle; crops are one larger than that, so that the loss falls
    on every 8th pixel. Departure: crops are mirrored at their own borders; the mean is ImageNet's.
    Unsure: batch, rate and crop of the front end are those of CamVid.

    Raises:
      ValueError: `stage` is none of these.
    """
    if stage not in STAGES:
        raise ValueError(f"stage is {stage!r}: it must be one of {', '.join(STAGES)}")
    steps, batch, crop, rate = {
        "front_end": (40_000, 8, (257, 257), 1e-4),
        "context": (24_000, 100, (1025, 2049), 1e-4),
        "joint": (60_000, 1, (1025, 1025), 1e-5),
    }[stage]
    frozen = ((r"^(?!context/)", 0.0),) if stage == "context" else ()
    return config.Experiment(
        model=dilation.Dilation(
            num_classes=19,
            backbone=dilation.front_end_backbone(),
            context_rates=() if stage == "front_end" else dilation.CONTEXT_10,
            upsampling="deconvolution",
            dropout=0.0 if stage == "context" else 0.5,
        ),
        data=config.Data(
            name="cityscapes",
            batch_size=batch,
            crop_size=crop,
            augment=config.Augment(scale_range=(1.0, 1.0), border="mirror"),
            normalisation=config.Normalisation(
                mean=(122.67892, 116.66877, 104.00699), std=(1.0, 1.0, 1.0)
            ),
        ),
        loss=config.Loss(cross_entropy=0.0, coarse=1.0),
        optim=config.Optim(
            learning_rate=rate,
            schedule="constant",
            momentum=0.99,
            weight_decay=5e-4,
            multipliers=((r"/bias$", 2.0), *frozen),
        ),
        train=config.Train(steps=steps, accumulate=batch if stage == "context" else 1),
        eval=config.Eval(batch_size=1),
    )
