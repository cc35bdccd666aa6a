"""PSPNet (arXiv 1612.01105) from random initialisation on CamVid, sized for two CPU cores.

Expected: the paper has no CamVid figure. Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.main --config=experiments/pspnet_camvid.py --workdir=runs/pspnet_camvid
"""

from experiments import deeplab_v3_plus_camvid
from jaxseg import config
from jaxseg.models import pspnet


def get_config() -> config.Experiment:
    """The data, loss, schedule and protocol of the DeepLab v3+ run, so that the networks compare.

    A half-width ResNet-18 at output stride 8 with the paper's head at half its features.
    """
    experiment = deeplab_v3_plus_camvid.get_config()
    norm_decay = 0.97
    experiment.model = pspnet.PSPNet(
        num_classes=11,
        backbone=pspnet.pspnet_backbone(18, norm_decay).clone(width=32),
        head_features=128,
        aux_features=64,
        norm_decay=norm_decay,
    )
    return experiment
