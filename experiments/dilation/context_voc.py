"""Dilated convolutions (arXiv 1511.07122) on PASCAL VOC 2012 trainaug: the context module.

Expected: on val with a front end from COCO (69.8): Large 72.1, with CRF-RNN 73.9; Basic 71.3 and
73.1 (--config.model.context_widths="()" --config.model.pad_first=False). Started at random
(--config.model.context_start=random) the paper could not train it.
Measured: not yet; it starts from a trained front end.

    python -m jaxseg.main --config=experiments/dilation/context_voc.py --workdir=runs/context_voc \
        --config.train.init_from=runs/frontend_voc --config.train.init_partial=True
"""

from experiments.dilation import frontend_voc
from jaxseg import config
from jaxseg.models import dilation


def get_config() -> config.Experiment:
    """Section 4: the front end is frozen, without dropout; the module learns at 0.001.

    Batch 60 and maps of 66 x 66 for whole images are from the released code's guide. Unsure: the
    number of steps is not stated for VOC; here it is that of Cityscapes.
    """
    experiment = frontend_voc.get_config()
    experiment.model = dilation.Dilation(
        num_classes=21,
        backbone=dilation.front_end_backbone(),
        context_rates=dilation.CONTEXT_8,
        context_widths=dilation.LARGE,
        pad_first=True,
        dropout=0.0,
    )
    experiment.data.batch_size = 60
    experiment.data.crop_size = (521, 521)
    experiment.data.augment.border = "mirror"
    experiment.optim.multipliers = ((r"/bias$", 2.0), (r"^(?!context/)", 0.0))
    experiment.train.steps = 24_000
    experiment.train.accumulate = 15
    return experiment
