"""FCN-8s trained in one stage (arXiv 1605.06211) on PASCAL VOC 2012 trainaug.

Expected: 65.4 mIoU, the released model's on 736 images of VOC 2011 val; 65.5 in three stages.
Measured: not yet; the recipe starts from VGG-16 trained on ImageNet.

    python -m jaxseg.main --config=experiments/fcn/fcn8s_at_once_voc.py \
        --workdir=runs/fcn8s_at_once_voc \
        --config.train.init_from=VGG16 --config.train.init_partial=True
"""

from experiments.fcn import fcn32s_voc
from jaxseg import config


def get_config() -> config.Experiment:
    """Like FCN-32s, for three times as long; fixed factors scale down the finer maps' scores.

    The factors 0.01 and 0.0001 of the scores of pool4 and pool3 are the ratios of the stages'
    learning rates.
    """
    experiment = fcn32s_voc.get_config()
    experiment.model = experiment.model.clone(stride=8, at_once=True)
    experiment.train.steps = 300_000
    return experiment
