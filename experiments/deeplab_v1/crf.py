"""The fully connected CRF on or off, and its published parameter sets (DeepLab v1 and v2).

    python -m launch.sweep --ablation=deeplab_v1/crf --size=shapes

Three trainings; all other rows are evaluations of them. The paper's size starts from networks of
ImageNet:
VGG-16 for the rows on it, with --change=train.init_from=VGG16 and --change=train.init_partial=True.
ResNet-101 needs another file and therefore its own sweep (deeplab_v2/resnet).
"""

from collections.abc import Mapping

from experiments.ablation.ablation import Ablation, Change, Row, Size
from experiments.bases import small as ablation_bases
from experiments.deeplab_v1 import voc
from experiments.deeplab_v2 import resnet_voc, vgg_voc
from jaxseg import config
from jaxseg.backbones import vgg
from jaxseg.layers.norm import Norm
from jaxseg.models import deeplab_v1, deeplab_v2

AFTER = " + CRF"
OF_SHAPES = (
    "3,8,20,1,1,5"  # for sides an eighth as long; the colours of an object differ by about 20
)
SETS = {  # on the first network, besides DeepLab v1's
    "CRF of v2": {"eval.crf": "deeplab_v2"},
    "CRF of kazuto1011's v2": {"eval.crf": "kazuto"},
    "CRF of DeconvNet": {"eval.crf": "deconvnet"},
    "CRF of pydensecrf's example": {"eval.crf": "pydensecrf"},
    "CRF of pydensecrf's example, symmetric": {
        "eval.crf": "pydensecrf",
        "eval.crf_normalization": "symmetric",
    },
}


def before_and_after(rows: Mapping[str, Change], crf: str) -> dict[str, Change]:
    """The rows, each followed by the same training evaluated with a CRF."""
    return {
        name + after: {**change, **more}
        for name, change in rows.items()
        for after, more in (("", {}), (AFTER, {"eval.crf": crf}))
    }


def whole(experiment: config.Experiment) -> Change:
    """A row with everything of another experiment except its evaluation."""
    parts = ("model", "data", "loss", "optim", "train")
    return {part: getattr(experiment, part) for part in parts}


def vgg16(norm: Norm = Norm(decay=0.97)) -> vgg.VGG:
    """LargeFOV's VGG-16 for a start from scratch. Departure: batch norm."""
    return deeplab_v1.large_fov_backbone().clone(norm=norm)


def camvid() -> config.Experiment:
    """LargeFOV on CamVid from scratch."""
    experiment = ablation_bases.camvid_v3()
    experiment.model = deeplab_v1.DeepLabV1(11, vgg16(), dropout=0.1)
    return experiment


def shapes() -> config.Experiment:
    """LargeFOV's head on a narrow ResNet at output stride 8: maps of 8 x 8."""
    return ablation_bases.shapes(
        "shapes/cells",
        deeplab_v1.DeepLabV1(
            ablation_bases.CLASSES,
            ablation_bases.resnet10(8),
            rate=2,
            head_features=64,
            average_pool=False,
            dropout=0.0,
        ),
        steps=200,
    )


def _on_shapes() -> dict[str, Change]:
    model = deeplab_v2.DeepLabV2(
        ablation_bases.CLASSES, ablation_bases.resnet10(8), atrous_rates=(1, 2, 3, 4)
    )
    return {
        "VGG-16, LargeFOV": {},
        "VGG-16, ASPP-L": {"model": model.clone(head_features=32, dropout=0.0)},
        "ResNet-101, ASPP-L, MSC": {"model": model.clone(scales=deeplab_v2.MSC)},
    }


def _on_camvid() -> dict[str, Change]:
    aspp = deeplab_v2.DeepLabV2(11, vgg16(), head_features=1024, dropout=0.1)
    resnet = deeplab_v2.deeplab_v2_resnet(50, norm=Norm(decay=0.97))
    return {
        "VGG-16, LargeFOV": {},
        "VGG-16, ASPP-L": {"model": aspp},
        "ResNet-101, ASPP-L, MSC": {
            "model": deeplab_v2.DeepLabV2(11, resnet, scales=deeplab_v2.MSC),
            "loss.cross_entropy": 0.0,
            "loss.coarse": 1.0,
        },
    }


def get_ablation() -> Ablation:
    """Three networks before and after the CRF, then the other parameter sets on the first.

    DeepLab v1 and v2 search the parameters on 100 images of val
    (experiments/studies/crf_search.py); here they are those of the released scripts, of v1 on
    LargeFOV and of v2 on the others.
    """
    networks: dict[str, Change] = {
        "VGG-16, LargeFOV": {},
        "VGG-16, ASPP-L": whole(vgg_voc.get_config()),
        "ResNet-101, ASPP-L, MSC": whole(resnet_voc.get_config()),
    }
    paper = (62.25, 67.64, 68.96, 71.57, 76.35, 77.69)
    rows: dict[str, Change] = before_and_after(networks, "deeplab_v2")
    first = "VGG-16, LargeFOV" + AFTER
    rows[first] = {"eval.crf": "deeplab_v1"}
    scaled: Change = {"eval.crf": OF_SHAPES}
    small = {name: {**scaled, **_symmetric(change)} for name, change in SETS.items()}
    return Ablation(
        title="DeepLab v1 and v2: before and after the fully connected CRF",
        source=(
            "PASCAL VOC 2012 val, mIoU: arXiv 1412.7062, Table 1 (LargeFOV) and 1606.00915, the "
            "tables of ASPP and of ResNet-101. In the paper the last network starts from COCO, "
            "which this table leaves out (deeplab_v2/resnet has it), so it will end lower. For the "
            "other sets of parameters no number is known."
        ),
        rows=(
            *(Row(name, rows[name], value) for name, value in zip(rows, paper, strict=True)),
            *(Row(name, change) for name, change in SETS.items()),
        ),
        paper=Size(voc.get_config, {"eval.boundary": True}, seeds=(0,)),
        camvid=Size(
            camvid,
            {"eval.boundary": True},
            before_and_after(_on_camvid(), "deeplab_v2") | {first: {"eval.crf": "deeplab_v1"}},
        ),
        shapes=Size(
            shapes,
            rows=before_and_after(_on_shapes(), OF_SHAPES) | small,
            leave_out=tuple(name for name in SETS if not name.endswith("symmetric")),
        ),
        cause=(
            "Between neighbouring discs of one colour lie 1 to 3 pixels of another, the map has "
            "one cell for 8 x 8: the network knows where the crowd is, not where its gaps are. "
            "Colours tell that: an object's differ by about 20 from pixel to pixel, and by 70 or "
            "more from what it lies on, so with a deviation of 20 the appearance kernel must draw "
            "gaps and outlines; as in the paper, the more so the coarser the scores are."
        ),
    )


def _symmetric(change: Change) -> Change:
    return {key: value for key, value in change.items() if key == "eval.crf_normalization"}
