"""FPN (arXiv 1612.03144): segment proposals on COCO, windows of 5 x 5 and 7 x 7, masks of 28 x 28.

Expected: a mask AR of 46.7 with 1,000 proposals of an image, 48.1 with a schedule twice as long
(Table 6, ResNet-50). Measured: not yet; the recipe starts from an ImageNet backbone
(--config.train.init_from=FOLDER).

    python -m jaxseg.main --config=experiments/fpn/segments.py --workdir=runs/fpn_segments
"""

from experiments.fpn import coco
from jaxseg import config
from jaxseg.models.fpn import SegmentProposals, fpn_backbone


def get_config() -> config.Experiment:
    """Unverified: the schedule is that of the paper's RPN, and the terms have equal weights."""
    experiment = coco.get_config()
    experiment.model = SegmentProposals(fpn_backbone(), mask_size=28)
    return experiment
