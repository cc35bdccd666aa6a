"""PSPNet (arXiv 1612.01105), Table 2: the weight of the auxiliary loss.

    python -m launch.sweep --ablation=pspnet/table2 --size=shapes

The paper's size is ADE20K, from an ImageNet ResNet-50: --change=train.init_from=RESNET50 and
--change=train.init_partial=True.
"""

from experiments.ablation.ablation import Ablation, Row, Size
from experiments.bases import small
from experiments.pspnet import shapes as pspnet_shapes
from experiments.pspnet import table1, voc
from jaxseg import config

PAPER = {"0.3": 37.01, "0.4": 37.23, "0.6": 37.09, "0.9": 36.99}
BASELINE = {"model.bins": ()}  # the table's network has no pyramid


def shapes() -> config.Experiment:
    """The quarter-width ResNet-18 of `pspnet/shapes.py`, whole, with its auxiliary head."""
    return small.shapes("shapes/far", pspnet_shapes.get_config().model, steps=250)


def get_ablation() -> Ablation:
    """The five rows of the table; with weight 0 there is no auxiliary head."""
    without = {"model.aux_features": 0}
    weighted = (Row(name, {"loss.aux_weight": float(name)}, value) for name, value in PAPER.items())
    return Ablation(
        title="PSPNet, Table 2: the auxiliary loss",
        source=(
            "mIoU on ADE20K val, ResNet-50 without the pyramid, one scale (arXiv 1612.01105, "
            "Table 2). The 150,000 steps are section 5.1's (unverified)."
        ),
        rows=(Row("without", without, 35.82), *weighted),
        paper=Size(voc.get_config, {**table1.ADE20K, **BASELINE}, seeds=(0,)),
        camvid=Size(table1.camvid, BASELINE),
        shapes=Size(shapes, BASELINE),
        cause=(
            "None: the auxiliary loss is for ResNets of 50 and more layers, whose middle gets "
            "little gradient. This one has 18 layers and batch norm, and learns without; "
            "differences between weights must lie within those between seeds."
        ),
    )
