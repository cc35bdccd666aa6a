"""PSPNet (arXiv 1612.01105), Table 1: pooling by maximum or mean, bins, dimension reduction.

    python -m launch.sweep --ablation=pspnet/table1 --size=shapes

The paper's size is ADE20K, from an ImageNet ResNet-50: --change=train.init_from=RESNET50 and
--change=train.init_partial=True.
"""

from experiments.ablation.ablation import Ablation, Change, Row, Size
from experiments.bases import small
from experiments.pspnet import voc
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import pspnet

GLOBAL, PYRAMID = (1,), (1, 2, 3, 6)
ADE20K: Change = {
    "data.name": "ade20k",
    "data.train_split": "train",
    "model.num_classes": 150,
    "model.backbone.depth": 50,
    "train.steps": 150_000,
    "eval.long_side": 512,  # of the image; crops of 473 on it
    "eval.flip": True,  # always in the authors' code, even for results with one scale
    "eval.fusion": "logits",
}


def _pooled(bins: tuple[int, ...], pooling: str, reduce: bool) -> Change:
    return {"model.bins": bins, "model.pooling": pooling, "model.reduce": reduce}


def shapes() -> config.Experiment:
    """PSPNet on a ResNet cut off at output stride 4, which has no stage for the auxiliary head."""
    model = pspnet.PSPNet(
        small.CLASSES,
        small.short_sighted((1,)),
        head_features=32,
        aux_features=0,
        norm=Norm(decay=small.NORM_DECAY),
    )
    return small.shapes("shapes/scene", model, steps=300)


def camvid() -> config.Experiment:
    """PSPNet on ResNet-50 from scratch."""
    experiment = small.camvid_v3()
    experiment.model = pspnet.PSPNet(
        11, pspnet.pspnet_backbone(50, Norm(decay=0.97)), norm=Norm(decay=0.97)
    )
    return experiment


def get_ablation() -> Ablation:
    """The seven rows of the table."""
    return Ablation(
        title="PSPNet, Table 1: pooling, bins and dimension reduction",
        source=(
            "mIoU on ADE20K val, ResNet-50, auxiliary weight 0.4, one scale (arXiv 1612.01105, "
            "Table 1). The 150,000 steps are section 5.1's (unverified). Unsure: whether the "
            "baseline has the 3x3 convolution of 512 before its classifier; here it has."
        ),
        rows=(
            Row("baseline", {"model.bins": ()}, 37.23),
            Row("B1 + MAX", _pooled(GLOBAL, "max", False), 39.94),
            Row("B1 + AVE", _pooled(GLOBAL, "average", False), 40.07),
            Row("B1236 + MAX", _pooled(PYRAMID, "max", False), 40.18),
            Row("B1236 + AVE", _pooled(PYRAMID, "average", False), 41.07),
            Row("B1236 + MAX + DR", _pooled(PYRAMID, "max", True), 40.87),
            Row("B1236 + AVE + DR", _pooled(PYRAMID, "average", True), 41.68),
        ),
        paper=Size(voc.get_config, ADE20K, seeds=(0,)),
        camvid=Size(camvid),
        shapes=Size(shapes),
        cause=(
            "All discs of an image are captive where a frame stands anywhere in it, at least 16 "
            "pixels from them and up to the whole image away. The baseline's 3x3 head included, a "
            "position sees 15 pixels to each side, so it must guess at one half; one bin over the "
            "whole map tells a frame, by its strongest response (MAX) more easily than by a mean "
            "in which it is a few of 256 positions. Bins of 2, 3 and 6 add where things stand, "
            "which decides nothing here: B1236 must not beat B1 by much."
        ),
    )
