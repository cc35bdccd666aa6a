"""U-Net (arXiv 1505.04597) from random initialisation on CamVid, sized for two CPU cores.

Expected: the paper has no CamVid figure. Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.main --config=experiments/unet_camvid.py --workdir=runs/unet_camvid
"""

from experiments import deeplab_v3_plus_camvid
from jaxseg import config
from jaxseg.models import unet


def get_config() -> config.Experiment:
    """The data, loss, schedule and protocol of the DeepLab v3+ run, so that the networks compare.

    Departure: a quarter of the paper's width, zeros around each map, and batch norm.
    """
    experiment = deeplab_v3_plus_camvid.get_config()
    experiment.model = unet.UNet(
        num_classes=11, width=16, valid=False, norm="batch", norm_decay=0.97, dropout=0.1
    )
    return experiment
