"""FCN-8s (arXiv 1605.06211; 1411.4038) on PASCAL VOC 2012 trainaug: the last of three stages.

Expected: 65.5 mIoU, the released model's on 736 images of VOC 2011 val (62.7 in the first paper);
67.2 on VOC 2012 test (62.2 in the first paper).
Measured: not yet; the recipe starts from the run of fcn16s_voc.py.

    python -m jaxseg.main --config=experiments/fcn/fcn8s_voc.py --workdir=runs/fcn8s_voc \
        --config.train.init_from=runs/fcn16s_voc --config.train.init_partial=True
"""

from experiments.fcn import fcn32s_voc
from jaxseg import config


def get_config() -> config.Experiment:
    """Like FCN-32s, at a ten-thousandth of its learning rate; the scores of pool3 start at zero."""
    experiment = fcn32s_voc.get_config()
    experiment.model = experiment.model.clone(stride=8)
    experiment.optim.learning_rate = 1e-14
    return experiment
