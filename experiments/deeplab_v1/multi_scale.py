"""DeepLab v1 (arXiv 1412.7062, Table 1 and section 4.3): multi-scale features (MSc), and the CRF.

    python -m launch.sweep --ablation=deeplab_v1/multi_scale --size=shapes

Four trainings; those with MSc start from the network without it. The paper's size starts from
an ImageNet VGG-16, as in deeplab_v1/field_of_view.
"""

from experiments.ablation.ablation import Ablation, Change, Row, Size
from experiments.bases import small as ablation_bases
from experiments.deeplab_v1 import field_of_view, voc
from experiments.deeplab_v1.crf import AFTER, OF_SHAPES, before_and_after
from jaxseg import config
from jaxseg.backbones import vgg
from jaxseg.layers.norm import Norm
from jaxseg.models import deeplab_v1

LARGE_FOV, LARGE_FOV_MSC = "LargeFOV", "MSc-LargeFOV"
FIRST, FIRST_MSC = "4x4, rate 4", "MSc, 4x4, rate 4"
STARTS = {LARGE_FOV_MSC: LARGE_FOV, FIRST_MSC: FIRST}
PAPER = (62.25, 67.64, 64.21, 68.70, 59.80, 63.74, 61.30, 65.21)
BIAS = (r"/bias$", 2.0)
MSC: Change = {
    "model.msc_features": 128,
    "train.init_partial": True,
    "optim.multipliers": (BIAS, (r"^(backbone|head|classifier)/", 0.0)),
}
FIRST_KERNEL: Change = {
    "model.kernel_size": 4,
    "model.rate": 4,
    "model.head_features": 4096,
    "model.average_pool": False,
}


def shapes() -> config.Experiment:
    """LargeFOV on a VGG-11 of an eighth of the width, for images of 64 x 64 a map of 9 x 9.

    Departure: batch norm, as in all networks here that start from scratch.
    """
    backbone = deeplab_v1.large_fov_backbone().clone(
        depth=11, width=8, norm=Norm(decay=ablation_bases.NORM_DECAY)
    )
    return ablation_bases.shapes(
        "shapes/cells",
        deeplab_v1.DeepLabV1(
            ablation_bases.CLASSES, backbone, rate=2, head_features=64, dropout=0.0
        ),
        steps=200,
    )


def _rows(narrow: vgg.VGG, first_crop: Change) -> dict[str, Change]:
    """Both networks without MSc and with it.

    The trunk is frozen while MSc is trained. As released, the 4x4 network has MSc on LargeFOV's
    trunk, with 3x3 poolings, and its old classifier continues to learn beside the new ones.
    """
    classifier: Change = {"optim.multipliers": (BIAS, (r"^(backbone|head)/", 0.0))}
    return {
        LARGE_FOV: {},
        LARGE_FOV_MSC: MSC,
        FIRST: {**FIRST_KERNEL, "model.backbone": narrow, **first_crop},
        FIRST_MSC: {**MSC, **FIRST_KERNEL, **classifier},
    }


def _started_from(name: str) -> str:
    return STARTS.get(name.removesuffix(AFTER), "")


def get_ablation() -> Ablation:
    """Table 1 of the paper, which has validation results of both networks in all four forms.

    Unsure: how long MSc is trained; here it is as long as the network before it. The paper trains
    only the new weights; that the first network's classifier continues to learn is from a
    re-upload.
    """
    narrow = deeplab_v1.small_window_backbone()
    normed = narrow.clone(norm=Norm(decay=0.97))
    paper = before_and_after(_rows(narrow, {"data.crop_size": (306, 306)}), "deeplab_v1")
    small = {**MSC, "model.msc_features": 16, "train.steps": 150}
    return Ablation(
        title="DeepLab v1, Table 1: multi-scale features and the CRF",
        source=(
            "arXiv 1412.7062, Table 1: PASCAL VOC 2012 val, mIoU. The CRF's parameters were "
            "searched for each network; here they are those of v1's released script."
        ),
        rows=tuple(
            Row(name, change, value, _started_from(name))
            for (name, change), value in zip(paper.items(), PAPER, strict=True)
        ),
        paper=Size(voc.get_config, seeds=(0,)),
        camvid=Size(
            field_of_view.camvid,
            rows=before_and_after(_rows(normed, {}), "deeplab_v1"),
        ),
        shapes=Size(
            shapes,
            rows=before_and_after({LARGE_FOV: {}, LARGE_FOV_MSC: small}, OF_SHAPES),
            leave_out=tuple(before_and_after({FIRST: {}, FIRST_MSC: {}}, "")),
        ),
        cause=(
            "Between neighbouring discs of one colour lie 1 to 3 pixels of another, and the map "
            "has one cell for 8 x 8 pixels: what a cell holds it may know, where in it a gap runs "
            "it must interpolate. The direct paths look at maps of stride 1, 2 and 4, in which a "
            "gap still is one, in windows of 3 x 3; on a trunk that stays as it is they must draw "
            "gaps and outlines. The first network (4x4, rate 4) is left out: it differs in its "
            "field of view, which another table is about. On thin strokes the trunk alone does "
            "not get beyond background in so short a training, so there would be nothing to add "
            "to."
        ),
    )
