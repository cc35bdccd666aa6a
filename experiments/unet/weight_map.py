"""U-Net (arXiv 1505.04597), equation 2: the weight map and the class weights, on or off.

    python -m launch.sweep --ablation=unet/weight_map --size=shapes

CamVid has no background and no touching objects of one class, so the intermediate size uses the EM
stack as well, with fewer steps.
"""

from experiments.ablation.ablation import Ablation, Row, Size
from experiments.bases import small
from experiments.unet import isbi_em
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import unet

EM = (2.18, 0.65)  # 1 / (2 * share) of each class, over 24 slices
EM_CHANGE = {"loss.class_weights": EM}
# Inverse frequency of background and disc, printed by
#   python -m jaxseg.data.doctor --name=shapes/cells --split=train
CELLS = (0.868, 1.179, 1.0, 1.0, 1.0, 1.0, 1.0)
NO_MAP, NO_WEIGHTS = {"loss.boundary": 0.0}, {"loss.class_weights": ()}


def shapes() -> config.Experiment:
    """Three levels, an eighth of the paper's width. Departure: zeros around each map, batch norm.

    The deviation of the map is 2 pixels, because gaps are 1 to 3 wide; in the paper it is about 5.
    """
    model = unet.UNet(
        small.CLASSES,
        width=8,
        levels=3,
        valid=False,
        norm=Norm(decay=small.NORM_DECAY),
        dropout=0.0,
    )
    experiment = small.shapes("shapes/cells", model, steps=200)
    experiment.loss = config.Loss(boundary=10.0, boundary_sigma=2.0, class_weights=CELLS)
    return experiment


def get_ablation() -> Ablation:
    """Both parts of the weight, each alone, and neither."""
    return Ablation(
        title="U-Net, equation 2: weight map and class weights",
        source=(
            "The paper (arXiv 1505.04597) has no such table, so there are no numbers to compare "
            "with; w0 = 10 and a deviation of about 5 pixels are its own."
        ),
        rows=(
            Row("map and class weights"),
            Row("map alone", NO_WEIGHTS),
            Row("class weights alone", NO_MAP),
            Row("neither", NO_MAP | NO_WEIGHTS),
        ),
        paper=Size(isbi_em.get_config, EM_CHANGE, seeds=(0,)),
        camvid=Size(isbi_em.get_config, EM_CHANGE | {"train.steps": 6_000}),
        # Both classes of the drawn data set are equally frequent and have about the same weight
        # anyway.
        shapes=Size(shapes, leave_out=("map alone", "neither")),
        cause=(
            "Gaps of 1 to 3 pixels of background between discs of one colour: few pixels, which "
            "the mean loss hardly sees and the map counts up to 11 times. With it the gaps must "
            "be wider and fewer discs grow together; the price is discs that are too small, so "
            "mIoU, which counts every pixel once, may fall. What the map is for are errors that "
            "count pieces (warping and Rand error: experiments/studies/em_errors.py)."
        ),
    )
