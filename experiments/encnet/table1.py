"""EncNet (arXiv 1803.08904), its ablation on PASCAL Context: encoding, SE-loss, depth, scales.

    python -m launch.sweep --ablation=encnet/table1 --size=shapes

The paper's size starts from an ImageNet ResNet, with --change=train.init_from=FILE: for EncNet-101
one of 101 layers, for all other rows one of 50, which takes two sweeps.
"""

from experiments.ablation.ablation import Ablation, Change, Row, Size
from experiments.bases import small
from experiments.encnet import pascal_context
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import dilated_fcn, encnet

SIX_SCALES: Change = {
    "eval.scales": (0.5, 0.75, 1.0, 1.25, 1.5, 1.75),
    "eval.flip": True,
}
NO_SE: Change = {"model.se_loss": False, "loss.presence": 0.0}
FIFTY, DEEP = "EncNet-50", "EncNet-101"


def _rows(fcn: Change, fifty: Change, deep: Change) -> dict[str, Change]:
    return {
        "FCN-50": {**fcn, "loss.presence": 0.0},
        f"{FIFTY}, no SE-loss": {**fifty, **NO_SE},
        FIFTY: fifty,
        DEEP: deep,
        f"{DEEP}, six scales, flip": {**deep, **SIX_SCALES},
        f"{FIFTY}, SE-loss 0.05": {**fifty, "loss.presence": 0.05},
        f"{FIFTY}, SE-loss 0.8": {**fifty, "loss.presence": 0.8},
        f"{FIFTY}, 8 codewords": {**fifty, "model.codewords": 8},
        f"{FIFTY}, summed, gate alone": {
            **fifty,
            "model.aggregation": "sum",
            "model.residual_gate": False,
        },
    }


def shapes() -> config.Experiment:
    """EncNet with 16 codewords on a ResNet that sees 11 pixels to each side, 15 with its head."""
    return small.shapes(
        "shapes/scene",
        encnet.EncNet(
            small.CLASSES,
            small.short_sighted((1,)),
            head_features=64,
            codewords=16,
            aux_features=0,
            norm=Norm(decay=small.NORM_DECAY),
        ),
    )


def camvid() -> config.Experiment:
    """EncNet as published on ResNet-50, from scratch."""
    experiment = small.camvid_v3()
    experiment.model = encnet.EncNet(
        11, encnet.encnet_backbone(50, Norm(decay=0.97)), norm=Norm(decay=0.97)
    )
    experiment.loss.aux_weight = 0.2
    return experiment


def get_ablation() -> Ablation:
    """The paper's rows, then further variations of its figures and code, without published numbers.

    The last row follows the paper's text, which sums over codewords and has only the gate; the
    authors' code and the other rows have the mean and x + x * gate.
    """
    fcn = dilated_fcn.DilatedFCN(59, encnet.encnet_backbone(50))
    small_fcn = dilated_fcn.DilatedFCN(
        small.CLASSES,
        small.short_sighted((1,)),
        head_features=64,
        aux_features=0,
        norm=Norm(decay=small.NORM_DECAY),
    )
    camvid_fcn = dilated_fcn.DilatedFCN(
        11, encnet.encnet_backbone(50, Norm(decay=0.97)), norm=Norm(decay=0.97)
    )
    values = (41.0, 47.6, 49.2, 51.7, 52.6)
    rows = _rows({"model": fcn}, {"model.backbone.depth": 50}, {})
    paper = dict(zip(rows, values, strict=False))
    return Ablation(
        title="EncNet, Table 1: encoding, SE-loss and depth",
        source=(
            "arXiv 1803.08904: PASCAL Context val, mIoU of the 59 classes without background. Of "
            "these numbers the authors' issues confirm 52.6; the others are unverified, and those "
            "of the figures on the weight of the SE-loss and on codewords are not given here. "
            "Whether the paper's FCN has the auxiliary head is not known either."
        ),
        rows=tuple(Row(name, change, paper.get(name)) for name, change in rows.items()),
        paper=Size(pascal_context.get_config, seeds=(0,)),
        camvid=Size(camvid, rows=_rows({"model": camvid_fcn}, {}, {"model.backbone.depth": 101})),
        shapes=Size(
            shapes,
            rows=_rows(
                {"model": small_fcn},
                {},
                {"model.backbone": small.short_sighted((2,))},
            ),
        ),
        cause=(
            "All discs of an image are captive where a frame stands anywhere in it, at least 16 "
            "pixels from their centres; FCN-50 and what EncNet does before its encoding see 15 "
            "pixels to each side and must tell one disc in two. The encoding is of the whole image "
            "and scales the channels, so it must tell nearly all. The SE-loss asks it directly "
            "whether the image holds captives: it must help it to learn that, in a short training "
            "above all. The FCN of twice the depth would still see 19 pixels only."
        ),
    )
