"""ParseNet (arXiv 1506.04579) on CamVid: for two CPU cores, or by SegNet's protocol.

Expected: the paper has no CamVid figure. Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.main --config=experiments/parsenet/camvid.py --workdir=runs/parsenet_camvid
    python -m jaxseg.main --config=experiments/parsenet/camvid.py:full --workdir=runs/parsenet_full
"""

from experiments.deeplab_v3_plus import camvid as deeplab_v3_plus_camvid
from experiments.segnet import camvid
from jaxseg import config
from jaxseg.layers.norm import Norm
from jaxseg.models import parsenet


def get_config(size: str = "small") -> config.Experiment:
    """Global context, fc7, conv5, conv4 and conv3 on FCN-32s: the last row of its ablation.

    - "small": a quarter of VGG-16's width and a head of 128 features; data, loss, schedule and
      protocol of the DeepLab v3+ run, so that the networks are comparable.
    - "full": the paper's network by `camvid.segnet_protocol`, which gives every network a
      norm after each convolution: here after those of VGG, not after fc6 and fc7.

    Departure: batch norm, with which L2 normalisation matters less.

    Raises:
      ValueError: `size` is none of these.
    """
    model = parsenet.parsenet_fcn(11, parsenet.MAPS)
    if size == "full":
        return camvid.segnet_protocol(model.clone(backbone=model.backbone.clone(norm=Norm())))
    if size != "small":
        raise ValueError(f"size is {size!r}: it must be small or full")
    experiment = deeplab_v3_plus_camvid.get_config()
    experiment.model = model.clone(
        backbone=model.backbone.clone(width=16, norm=Norm(decay=0.97)),
        head_features=128,
        dropout=0.1,
    )
    return experiment
