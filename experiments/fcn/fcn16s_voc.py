"""FCN-16s (arXiv 1605.06211; 1411.4038) on PASCAL VOC 2012 trainaug: the second of three stages.

Expected: 65.0 mIoU, the released model's on 736 images of VOC 2011 val (62.4 in the first paper).
Measured: not yet; the recipe starts from the run of fcn32s_voc.py.

    python -m jaxseg.main --config=experiments/fcn/fcn16s_voc.py --workdir=runs/fcn16s_voc \
        --config.train.init_from=runs/fcn32s_voc --config.train.init_partial=True
"""

from experiments.fcn import fcn32s_voc
from jaxseg import config


def get_config() -> config.Experiment:
    """Like FCN-32s, at a hundredth of its learning rate; the scores of pool4 start at zero."""
    experiment = fcn32s_voc.get_config()
    experiment.model = experiment.model.clone(stride=16)
    experiment.optim.learning_rate = 1e-12
    return experiment
