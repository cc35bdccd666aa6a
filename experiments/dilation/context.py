"""Dilated convolutions (Yu and Koltun, arXiv 1511.07122): context module and initialisation.

    python -m launch.sweep --ablation=dilation/context --size=shapes

The paper's size starts from an ImageNet VGG-16: --change=train.init_from=VGG16 and
--change=train.init_partial=True. The modules always start from the front end's row.
"""

import dataclasses

from experiments.ablation.ablation import Ablation, Change, Row, Size
from experiments.bases import small
from experiments.dilation import context_voc, frontend_voc
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import dilation

FRONT_END = "front end"
PAPER = {
    "Basic": 71.3,
    "Large": 72.1,
    "Basic, random start": None,
    "Large, random start": None,
}
CAMVID_STEPS, STEPS = 8_000, 200
FREEZE = (r"^(?!context/)", 0.0)  # the front end is frozen


def shapes() -> config.Experiment:
    """The front end on an eighth of VGG-11's width.

    Departure: batch norm, and zeros around each map.
    """
    backbone = dilation.front_end_backbone().clone(
        depth=11, width=8, padding=True, norm=Norm(decay=small.NORM_DECAY)
    )
    model = dilation.Dilation(small.CLASSES, backbone, head_features=64, dropout=0.0)
    return small.shapes("shapes/far", model, steps=STEPS)


def camvid() -> config.Experiment:
    """The front end at full width from scratch, with a head of 1024.

    Departure: batch norm, and zeros around each map: mirrored borders of 186 pixels on each side
    would give 360 x 480 images four times as many pixels.
    """
    experiment = small.camvid_v3()
    backbone = dilation.front_end_backbone().clone(padding=True, norm=Norm(decay=0.97))
    experiment.model = dilation.Dilation(11, backbone, head_features=1024, dropout=0.1)
    experiment.train.steps = CAMVID_STEPS
    return experiment


def _modules(stage: Change, rates: tuple[int, ...], widths: tuple[int, ...]) -> dict[str, Change]:
    """The rows of the module, which is trained with the changes of `stage`."""
    basic = {**stage, "model.context_rates": rates, "model.dropout": 0.0}
    large = basic | {"model.context_widths": widths, "model.pad_first": True}
    random: Change = {"model.context_start": "random"}
    rows = (basic, large, {**basic, **random}, {**large, **random})
    return dict(zip(PAPER, rows, strict=True))


def get_ablation() -> Ablation:
    """The front end, then each module on it (frozen), initialised as identity and at random."""
    published = context_voc.get_config()
    stage = {
        "data": published.data,
        "optim": published.optim,
        "train": dataclasses.replace(published.train, init_partial=True),
    }
    own = {"train.init_partial": True, "optim.multipliers": (FREEZE,)}
    at_paper = _modules(stage, dilation.CONTEXT_8, dilation.LARGE)
    return Ablation(
        title="Dilated convolutions: the context module and its start",
        source=(
            "mIoU on VOC 2012 val, without CRF (arXiv 1511.07122, section 4), with a front end "
            "trained on VOC and COCO, first at 0.001 and 0.0001 on both, then on VOC; here on "
            "trainaug alone. Random starts have no number: with them the authors could not train "
            "the module. Large is padded as released. The steps of this stage are not stated for "
            "VOC; here they are those of Cityscapes."
        ),
        rows=(
            Row(FRONT_END, paper=69.8),
            *(Row(name, at_paper[name], value, FRONT_END) for name, value in PAPER.items()),
        ),
        paper=Size(frontend_voc.get_config, seeds=(0,)),
        camvid=Size(camvid, rows=_modules(own, dilation.CONTEXT_8, dilation.LARGE)),
        # On a map of 8 x 8, all taps of rates 8 and 16 except the middle one lie on the padding.
        shapes=Size(shapes, rows=_modules(own, (1, 1, 2, 4, 1), (2, 2, 4, 8, 8))),
        cause=(
            "The start: from random values the module must find again, through layers of as many "
            "channels as there are classes, what the front end's scores say already, and ReLUs "
            "that are 0 everywhere stop some of them for good; from the identity it begins with "
            "these scores. The receptive field is not the cause here: fc6 alone, 7 x 7 at rate 4 "
            "on a map of stride 8, sees 96 pixels to each side, more than an image of 64 has, so "
            "the module has nothing new to see and little is to be gained over the front end."
        ),
    )
