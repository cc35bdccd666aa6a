"""Losses under imbalance: class weights, focal, Dice and Lovasz losses against cross-entropy.

    python -m launch.sweep --ablation=losses/imbalance --size=shapes

No paper has this table: each loss is taken from the paper that introduced it, on one network.
"""

from collections.abc import Mapping

from experiments.ablation.ablation import Ablation, Change, Row, Size
from experiments.bases import small
from experiments.segnet import basic_camvid, table1
from experiments.segnet import camvid as segnet_camvid
from jaxseg import config
from jaxseg.config import Loss

MEDIAN, INVERSE, ROOTS = "median frequency", "inverse frequency", "roots of the median frequency"
RELEASED = "median frequency, as released"
# Both lists of each set as the doctor prints them; classes that do not occur weigh 1.
#   python -m jaxseg.data.doctor --name=camvid --split=train
CAMVID = {
    MEDIAN: (0.2794, 0.2018, 4.789, 0.1491, 1.0, 0.4235, 3.846, 1.98, 0.789, 6.385, 8.819),
    INVERSE: (0.518, 0.375, 8.884, 0.276, 1.946, 0.898, 7.444, 7.749, 1.489, 13.66, 29.94),
}
#   python -m jaxseg.data.doctor --name=shapes/rare --split=train
RARE = {
    MEDIAN: (0.102, 0.959, 1.0, 9.654, 1.0, 1.0, 15.55),
    INVERSE: (0.232, 3.086, 2.935, 64.6, 1.0, 1.0, 295.7),
}


def _weighted(lists: Mapping[str, tuple[float, ...]]) -> dict[str, Change]:
    """The rows with class weights, from the lists of one data set."""
    roots = tuple(round(weight**0.5, 3) for weight in lists[MEDIAN])
    return {
        name: {"loss": Loss(class_weights=weights)}
        for name, weights in {**lists, ROOTS: roots}.items()
    }


def shapes() -> config.Experiment:
    """DeepLab v3 without ASPP on a ResNet cut off at output stride 4, with plain cross-entropy."""
    experiment = small.shapes_cascade((1, 2))
    experiment.data.name = "shapes/rare"
    experiment.train.steps = experiment.train.checkpoint_every = 350
    experiment.loss = Loss()
    return experiment


def paper() -> config.Experiment:
    """SegNet-Basic by section 3.2 of its paper, without class weights."""
    experiment = basic_camvid.get_config("full")
    experiment.loss.class_weights = ()
    experiment.data.eval_split = "test"
    return experiment


def camvid() -> config.Experiment:
    """SegNet-Basic by the recipe of the other networks on CamVid, without class weights."""
    experiment = table1.camvid()
    experiment.loss.class_weights = ()
    return experiment


def get_ablation() -> Ablation:
    """Plain cross-entropy, then weighted, then other losses."""
    weighted = _weighted(CAMVID)
    return Ablation(
        title="Losses under imbalance",
        source=(
            "46.3 and 47.7 are SegNet-Basic's on CamVid's test with natural and with median "
            "frequency (arXiv 1511.00561, Table 1). 47.7 stands beside two lists of weights: that "
            "of the release, in which the sign symbols weigh 2.5 times what their frequency gives, "
            "for a reason that is not known, and that of the frequencies. The other losses are of "
            "detection (focal, 1708.02002), of medical images (Dice, V-Net, 1606.04797) and of "
            "1705.08790 (Lovasz), without numbers on CamVid."
        ),
        rows=(
            Row("cross-entropy", paper=46.3),
            Row(RELEASED, {"loss": Loss(class_weights=segnet_camvid.RELEASED)}, 47.7),
            *(
                Row(name, change, 47.7 if name == MEDIAN else None)
                for name, change in weighted.items()
            ),
            Row("focal", {"loss": Loss(cross_entropy=0.0, focal=1.0)}),
            Row("Dice", {"loss": Loss(cross_entropy=0.0, dice=1.0)}),
            Row("cross-entropy and Dice", {"loss": Loss(dice=1.0)}),
            Row("cross-entropy and Lovasz", {"loss": Loss(lovasz=1.0)}),
        ),
        paper=Size(paper, seeds=(0,)),
        camvid=Size(camvid),
        shapes=Size(
            shapes,
            rows=_weighted(RARE),
            leave_out=(RELEASED,),
        ),
        cause=(
            "Background has 86 % of the pixels, discs and squares 6.5 % each, triangles 0.3 %, "
            "crosses 0.07 %, in one image of nine. To the mean cross-entropy all crosses together "
            "matter less than a tenth of a per cent of the background, so in a short training "
            "crosses must end near 0 IoU and triangles far below the common classes. Weights and "
            "Dice must bring them up. Inverse frequencies count a pixel of a cross 1,270 times one "
            "of the background: then crosses must be found at the price of false ones, which IoU "
            "punishes, so milder weights must win. Focal loss has no class in it: it must do "
            "little."
        ),
    )
