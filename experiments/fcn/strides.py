"""FCN (arXiv 1411.4038, Table 2; 1605.06211): scores of stride 32, 16 and 8, in stages and at once.

    python -m launch.sweep --ablation=fcn/strides --size=shapes

The paper's size starts from an ImageNet VGG-16: --change=train.init_from=VGG16 and
--change=train.init_partial=True. A stage always starts from the row before it.
"""

from experiments.ablation.ablation import Ablation, Row, Size
from experiments.bases import small
from experiments.fcn import fcn32s_voc
from jaxseg import config
from jaxseg.backbones import vgg
from jaxseg.layers.norm import Norm
from jaxseg.models import fcn

ON = {"train.init_partial": True}  # from the previous stage, everything except the new scores
STAGE, CAMVID_STAGE = 110, 4_000  # steps of each of the three stages
BIAS = (r"/bias$", 2.0)


def shapes() -> config.Experiment:
    """FCN-32s on an eighth of VGG-11's width; images upsampled to 128 x 128, a map of 4 x 4.

    On 64 x 64 pixels, with a map of 2 x 2, FCN-32s predicted only background and FCN-8s ended at 20
    mIoU; on 128 x 128 FCN-8s reached 38 with 300 batches of 16.

    Departure: batch norm, and zeros around each map in place of the border of 100.
    """
    backbone = vgg.VGG(depth=11, width=8, norm=Norm(decay=small.NORM_DECAY))
    model = fcn.FCN(
        small.CLASSES,
        backbone,
        stride=32,
        head_features=128,
        fc6_padding=None,
        dropout=0.1,
    )
    experiment = small.shapes("shapes/thin", model, steps=STAGE)
    experiment.data.batch_size = 8
    experiment.data.crop_size = (128, 128)
    experiment.data.augment.scale_range = (2.0, 2.0)
    experiment.eval.scales = (2.0,)
    return experiment


def camvid() -> config.Experiment:
    """FCN-32s at full width from scratch. Departure: batch norm, no border, head of 1024."""
    experiment = small.camvid_v3()
    experiment.model = fcn.FCN(
        11,
        vgg.VGG(norm=Norm(decay=0.97)),
        stride=32,
        head_features=1024,
        fc6_padding=None,
        dropout=0.1,
    )
    experiment.train.steps = CAMVID_STAGE
    return experiment


def _smaller(steps: int, rate: float) -> dict:
    """The rows for a mean loss and other steps; a later stage has half the rate."""
    stage = ON | {"optim.learning_rate": rate / 2}
    long = {"train.steps": 3 * steps}
    return {
        "FCN-16s": stage | {"model.stride": 16},
        "FCN-8s": stage | {"model.stride": 8},
        "FCN-8s at once": long | {"model.stride": 8, "model.at_once": True},
        "FCN-8s at once, factors 1": long | {"model.stride": 8},
        "FCN-16s at once, factors 1": long | {"model.stride": 16},
        "FCN-32s for as long": long,
    }


def get_ablation() -> Ablation:
    """Each stage as published, the finest in one stage, and rows that separate time from stride."""
    once = {"model.stride": 8, "model.at_once": True, "train.steps": 300_000}
    rows = (
        Row("FCN-32s", paper=63.6),
        Row("FCN-16s", ON | {"model.stride": 16, "optim.learning_rate": 1e-12}, 65.0, "FCN-32s"),
        Row("FCN-8s", ON | {"model.stride": 8, "optim.learning_rate": 1e-14}, 65.5, "FCN-16s"),
        Row("FCN-8s at once", once, 65.4),
        Row("FCN-8s at once, factors 1", once | {"model.at_once": False}),
        Row("FCN-16s at once, factors 1", {"model.stride": 16, "train.steps": 300_000}),
        Row("FCN-32s for as long", {"train.steps": 300_000}),
        Row(
            "FCN-32s, classifier alone",
            {"optim.multipliers": (BIAS, (r"^(?!score_fr/)", 0.0))},
            46.6,
        ),
    )

    return Ablation(
        title="FCN, Table 2: the stride of the finest scores",
        source=(
            "mIoU of the released models on the 736 images of VOC 2011 val that SBD does not train "
            "(README of shelhamer/fcn.berkeleyvision.org: 63.6, 65.0, 65.5, 65.4). The first paper "
            "has 59.4, 62.4, 62.7 and 45.4 for the classifier alone; the 46.6 here is that of "
            "1605.06211 (unverified). The other rows are ours."
        ),
        rows=rows,
        paper=Size(
            fcn32s_voc.get_config,
            {"data.name": "voc2011", "data.train_split": "train"},
            seeds=(0,),
        ),
        camvid=Size(
            camvid,
            rows=_smaller(CAMVID_STAGE, 1e-3),
            leave_out=("FCN-32s, classifier alone",),
        ),
        shapes=Size(
            shapes,
            rows=_smaller(STAGE, 4e-3),
            leave_out=("FCN-32s, classifier alone",),
        ),
        cause=(
            "Images are upsampled to 128 x 128, on which strokes are 3 to 5 pixels wide and solid "
            "objects 10 to 20 across; one score stands for 32 x 32, 16 x 16 or 8 x 8 of these "
            "pixels, and all between is interpolated. A solid object has a quarter of a score of "
            "stride 32, a stroke a tenth, so FCN-32s must find next to nothing but background (15 "
            "mIoU in one seed: exactly that), and scores of 8 must bring most objects back, "
            "strokes as bands that are too wide. All rows at once see as many images, so only the "
            "stride tells these three apart. The published factors 0.01 and 0.0001 hold the finer "
            "scores back under SGD; AdamW takes steps of one size, so here they may do harm. "
            "Nothing is pretrained on the drawn images, so the classifier alone means nothing."
        ),
    )
