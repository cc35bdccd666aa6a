"""DeepLab v2 (arXiv 1606.00915, section 4.1.1): ASPP on VGG-16, before and after the CRF.

    python -m launch.sweep --ablation=deeplab_v2/aspp --size=shapes

Three trainings; the rows with CRF are evaluations of them. The paper's size starts from VGG-16 of
ImageNet: --change=train.init_from=VGG16 and --change=train.init_partial=True take its convolutions.
"""

from experiments.ablation.ablation import Ablation, Change, Row, Size
from experiments.bases import small
from experiments.deeplab_v1.crf import OF_SHAPES, before_and_after, vgg16
from experiments.deeplab_v2 import vgg_voc
from jaxseg import config
from jaxseg.models import deeplab_v2

PAPER = (65.76, 69.84, 66.98, 69.73, 68.96, 71.57)


def _rows(
    large_fov: tuple[int, ...], aspp_s: tuple[int, ...], aspp_l: tuple[int, ...]
) -> dict[str, Change]:
    return {
        "LargeFOV": {"model.atrous_rates": large_fov},
        "ASPP-S": {"model.atrous_rates": aspp_s},
        "ASPP-L": {"model.atrous_rates": aspp_l},
    }


PUBLISHED = _rows((12,), deeplab_v2.ASPP_S, deeplab_v2.ASPP_L)


def camvid() -> config.Experiment:
    """ASPP on a full-width VGG-16 on CamVid from scratch."""
    experiment = small.camvid_v3()
    experiment.model = deeplab_v2.DeepLabV2(11, vgg16(), head_features=1024, dropout=0.1)
    return experiment


def shapes() -> config.Experiment:
    """ASPP on a ResNet that sees 11 pixels to each side, at output stride 4: maps of 16 x 16."""
    return small.shapes(
        "shapes/far",
        deeplab_v2.DeepLabV2(
            small.CLASSES,
            small.short_sighted((1,)),
            head_features=32,
            dropout=0.0,
        ),
    )


def get_ablation() -> Ablation:
    """One branch at rate 12, four at 2, 4, 8, 12 and four at 6, 12, 18, 24."""
    rows = before_and_after(PUBLISHED, "deeplab_v2")
    return Ablation(
        title="DeepLab v2: ASPP on VGG-16, before and after the CRF",
        source=(
            "arXiv 1606.00915, the table of ASPP: PASCAL VOC 2012 val, mIoU. The CRF's parameters "
            "were searched; here they are those of v2's released script. Its LargeFOV is taken to "
            "be the network of ASPP with one branch: 65.76, where the table of schedules has "
            "65.88."
        ),
        rows=tuple(
            Row(name, change, value)
            for (name, change), value in zip(rows.items(), PAPER, strict=True)
        ),
        paper=Size(vgg_voc.get_config, seeds=(0,)),
        camvid=Size(camvid),
        shapes=Size(
            shapes, rows=before_and_after(_rows((3,), (1, 1, 2, 3), (2, 3, 5, 6)), OF_SHAPES)
        ),
        cause=(
            "A disc is captive if and only if a frame is around it, whose nearest wall is 12 to 28 "
            "pixels from the disc's centre, inside or outside; the network before ASPP sees 11 "
            "pixels to each side. Rates are a quarter of the paper's, rounded: LargeFOV reaches 24 "
            "pixels, ASPP-S 8, 16 and 24, ASPP-L 16, 24, 40 and 48. A single rate sees walls at "
            "one distance only; several must be better, and rates that reach across a whole frame "
            "better than those that fall short of it. S and L have the same parameters."
        ),
    )
