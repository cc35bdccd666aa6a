"""DeepLab v3+ (arXiv 1802.02611) on Xception from random initialisation on CamVid.

Expected: the paper has no CamVid figure. Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.main --config=experiments/deeplab_v3_plus/xception_camvid.py \
        --workdir=runs/v3_plus_xception_camvid

With --config=experiments/deeplab_v3_plus/xception_camvid.py:full Xception-65 by SegNet's protocol,
for a GPU.
"""

import dataclasses

from experiments.deeplab_v3_plus import camvid as deeplab_v3_plus_camvid
from experiments.deeplab_v3_plus import xception_voc
from experiments.segnet import camvid
from jaxseg import config
from jaxseg.backbones import xception
from jaxseg.layers.norm import Norm


def get_config(size: str = "small") -> config.Experiment:
    """The data, loss, schedule and protocol of the other networks, so that they are comparable.

    Args:
      size: "small", those of the DeepLab v3+ run, for two CPU cores: a quarter of Xception-41's
        width with three modules in the middle flow; or "full", SegNet's protocol with the paper's
        network.

    Raises:
      ValueError: `size` is neither.
    """
    if size == "full":
        model = xception_voc.get_config().model
        # Averages are shorter than the paper's, because there are far fewer images.
        return camvid.segnet_protocol(
            model.clone(
                num_classes=11,
                backbone=model.backbone.clone(norm=model.backbone.norm.with_decay(0.99)),
                norm=Norm(decay=0.99),
            )
        )
    if size != "small":
        raise ValueError(f"size is {size!r}: it must be 'small' or 'full'")
    experiment = deeplab_v3_plus_camvid.get_config()
    experiment.model = experiment.model.clone(
        backbone=xception.Xception(
            depth=41,
            width=0.25,
            middle_modules=3,
            output_stride=16,
            norm=xception.NORM.with_decay(0.97),
        ),
        decoder=dataclasses.replace(experiment.model.decoder, low_level="entry2_pointwise2"),
    )
    return experiment
