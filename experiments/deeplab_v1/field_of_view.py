"""DeepLab v1 (arXiv 1412.7062, Table 2; v2, 1606.00915, Table 1): kernel and rate of fc6.

    python -m launch.sweep --ablation=deeplab_v1/field_of_view --size=shapes

Four trainings; the rows with CRF are evaluations of them. The paper's size starts from VGG-16 of
ImageNet: --change=train.init_from=VGG16 and --change=train.init_partial=True take its convolutions.
The authors also take fc6 and fc7, thinned to each row's kernel: a file written by jaxseg.convert
--thin fits only one row, so that this needs one sweep per row.
"""

from experiments.ablation.ablation import Ablation, Change, Row, Size
from experiments.bases import small
from experiments.deeplab_v1 import voc
from experiments.deeplab_v1.crf import OF_SHAPES, before_and_after, camvid
from jaxseg import config
from jaxseg.backbones import vgg
from jaxseg.layers.norm import Norm
from jaxseg.models import deeplab_v1

NARROW, WIDE = "4x4, rate 4", "4x4, rate 8"
DENSE, LARGE_FOV = "7x7, rate 4", "3x3, rate 12 (LargeFOV)"
PAPER = (59.80, 63.74, 63.41, 67.14, 64.38, 67.64, 62.25, 67.64)


def _rows(small_window: vgg.VGG, narrow: Change, large_fov: Change) -> dict[str, Change]:
    """Kernel, rate and features of fc6; poolings are 2x2 except in LargeFOV."""
    first: Change = {
        "model.backbone": small_window,
        "model.average_pool": False,
        "model.head_features": 4096,
        **narrow,
    }
    return {
        NARROW: {**first, "model.kernel_size": 4, "model.rate": 4},
        WIDE: {**first, "model.kernel_size": 4, "model.rate": 8},
        DENSE: {**first, "model.kernel_size": 7, "model.rate": 4},
        LARGE_FOV: large_fov,
    }


def shapes() -> config.Experiment:
    """fc6 on a ResNet that sees 11 pixels to each side, at output stride 4: maps of 16 x 16."""
    return small.shapes(
        "shapes/far",
        deeplab_v1.DeepLabV1(
            small.CLASSES,
            small.short_sighted((1,)),
            rate=3,
            head_features=64,
            average_pool=False,
            dropout=0.0,
        ),
    )


def get_ablation() -> Ablation:
    """The table's four rows, before and after the CRF.

    Unsure: the crop of 306 of the poolings of 2x2 is that of a re-upload of the first network's
    prototxt; those of "4x4, rate 8" and "7x7, rate 4" were not found.
    """
    small_window = deeplab_v1.small_window_backbone()
    normed = small_window.clone(norm=Norm(decay=0.97))
    paper = before_and_after(_rows(small_window, {"data.crop_size": (306, 306)}, {}), "deeplab_v1")
    quarter: dict[str, Change] = {
        NARROW: {"model.kernel_size": 4, "model.rate": 1},
        WIDE: {"model.kernel_size": 4, "model.rate": 2},
        DENSE: {"model.kernel_size": 7, "model.rate": 1},
        LARGE_FOV: {},
    }
    return Ablation(
        title="DeepLab v1, Table 2: field of view of fc6, before and after the CRF",
        source=(
            "arXiv 1606.00915, Table 1, with the values of 1412.7062: PASCAL VOC 2012 val, mIoU. "
            "The CRF's parameters were searched for each network; here they are those of v1's "
            "released script."
        ),
        rows=tuple(
            Row(name, change, value)
            for (name, change), value in zip(paper.items(), PAPER, strict=True)
        ),
        paper=Size(voc.get_config, seeds=(0,)),
        camvid=Size(camvid, rows=before_and_after(_rows(normed, {}, {}), "deeplab_v1")),
        shapes=Size(shapes, rows=before_and_after(quarter, OF_SHAPES)),
        cause=(
            "A disc is captive if and only if a frame is around it, whose nearest wall is 12 to 28 "
            "pixels from the disc's centre, inside or outside. fc6's taps reach 12 pixels to each "
            "side at rate 4, and 24 in the other rows, a quarter of the paper's 224; the network "
            "before it sees 11 more. So the first row sees a wall of most discs but seldom two, "
            "and the wider ones see around most frames. All must find frames and discs equally "
            "well, but for the kernels of 4 x 4: no tap of theirs lies on the output itself."
        ),
    )
