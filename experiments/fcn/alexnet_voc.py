"""FCN-AlexNet (arXiv 1605.06211; 1411.4038) on PASCAL VOC 2012 trainaug.

Expected: 48.0 mIoU, the released model's on 736 images of VOC 2011 val (README of
shelhamer/fcn.berkeleyvision.org; 39.8 in Table 1 of the first paper, trained on VOC 2011 alone).
Measured: not yet; the recipe starts from CaffeNet trained on ImageNet.

    python -m jaxseg.main --config=experiments/fcn/alexnet_voc.py --workdir=runs/fcn_alexnet_voc \
        --config.train.init_from=CAFFENET --config.train.init_partial=True
"""

from experiments.fcn import fcn32s_voc
from jaxseg import config
from jaxseg.backbones import alexnet
from jaxseg.models import fcn


def get_config() -> config.Experiment:
    """The released solver, which differs from that of the VGG networks: the mean loss of 20 images.

    Departure: the mean is over the pixels of all 20 images; Caffe's iter_size averages the 20
    means, in which a pixel of a small image has more weight.
    """
    experiment = fcn32s_voc.get_config()
    experiment.model = fcn.FCN(
        num_classes=21, backbone=alexnet.AlexNet(image_padding=100), stride=32, fc6_kernel=6
    )
    experiment.data.batch_size = 20
    experiment.train.accumulate = 20
    experiment.loss.reduction = "pixels"
    experiment.optim.learning_rate = 1e-4
    experiment.optim.momentum = 0.9
    return experiment
