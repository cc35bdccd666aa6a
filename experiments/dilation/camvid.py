"""Dilation8 (arXiv 1511.07122) on CamVid: for two CPU cores, by SegNet's protocol, by the paper.

Expected: 65.3 mIoU on test with images of 640 x 480 and both of the paper's stages.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.main --config=experiments/dilation/camvid.py --workdir=runs/dilation8_camvid
    python -m jaxseg.main --config=experiments/dilation/camvid.py:full \
        --workdir=runs/dilation8_full
    python -m jaxseg.main --config=experiments/dilation/camvid.py:front_end \
        --workdir=runs/camvid_front_end --config.train.init_from=VGG16 \
        --config.train.init_partial=True
    python -m jaxseg.main --config=experiments/dilation/camvid.py:joint --workdir=runs/dilation8 \
        --config.train.init_from=runs/camvid_front_end --config.train.init_partial=True
"""

from experiments.deeplab_v3_plus import camvid as deeplab_v3_plus_camvid
from experiments.segnet import camvid
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import dilation

UP = 4 / 3  # from 360 x 480 to the paper's 480 x 640


def _by_the_paper(stage: str) -> config.Experiment:
    """Appendix A: the front end first, then both at a tenth of the rate, without a context stage.

    The inputs of 628 and 852 pixels have 256 and 480 in their middle: crops are one larger than
    these, so that the loss falls on every 8th pixel. Departure: crops are mirrored at their own
    borders; images are upsampled from 360 x 480, but tested unchanged; the mean is ImageNet's.
    Unsure: the steps of the
    joint stage are not stated; here they are the front end's.
    """
    joint = stage == "joint"
    return config.Experiment(
        model=dilation.Dilation(
            num_classes=11,
            backbone=dilation.front_end_backbone(),
            context_rates=dilation.CONTEXT_8 if joint else (),
        ),
        data=config.Data(
            name="camvid",
            batch_size=1 if joint else 8,
            crop_size=(481, 481) if joint else (257, 257),
            augment=config.Augment(scale_range=(UP, UP), border="mirror"),
            normalisation=config.Normalisation(
                mean=(122.67892, 116.66877, 104.00699), std=(1.0, 1.0, 1.0)
            ),
        ),
        loss=config.Loss(cross_entropy=0.0, coarse=1.0),
        optim=config.Optim(
            learning_rate=1e-5 if joint else 1e-4,
            schedule="constant",
            momentum=0.9 if joint else 0.99,
            weight_decay=5e-4,
            multipliers=((r"/bias$", 2.0),),
        ),
        train=config.Train(steps=20_000),
        eval=config.Eval(batch_size=1, scales=(UP,), size=(360, 480)),
    )


def get_config(size: str = "small") -> config.Experiment:
    """Dilation8 in one of two sizes, or a stage of the paper's training.

    - "small": a quarter of VGG-16's width and a head of 128 features; data, loss, schedule and
      protocol of the DeepLab v3+ run, so that the networks are comparable. Departure: batch norm,
      and zeros around each map: mirrored borders would give these crops six times as many pixels.
    - "full": the paper's network by `camvid.segnet_protocol`, which gives every network a
      norm after each convolution: here after those of VGG.
    - "front_end" and "joint": the paper's two stages.

    Raises:
      ValueError: `size` is none of these.
    """
    if size in ("front_end", "joint"):
        return _by_the_paper(size)
    backbone = dilation.front_end_backbone().clone(norm=Norm())
    if size == "full":
        return camvid.segnet_protocol(dilation.Dilation(11, backbone, dilation.CONTEXT_8))
    if size != "small":
        raise ValueError(f"size is {size!r}: it must be small, full, front_end or joint")
    experiment = deeplab_v3_plus_camvid.get_config()
    experiment.model = dilation.Dilation(
        num_classes=11,
        backbone=backbone.clone(width=16, padding=True, norm=Norm(decay=0.97)),
        context_rates=dilation.CONTEXT_8,
        head_features=128,
        dropout=0.1,
    )
    return experiment
