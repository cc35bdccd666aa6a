"""DeconvNet (arXiv 1505.04366) on CamVid: for two CPU cores, or as SegNet's paper benchmarks it.

Expected: "full": 39.69 mIoU on test after 40k steps, 59.77 at its best (260k): Table 3 of SegNet's
paper (arXiv 1511.00561), from the weights of VGG-16 and 3,433 training images; CamVid alone has
367. FC-DenseNet's paper (arXiv 1611.09326, Table 1) lists DeconvNet at 48.9 (unverified).
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.main --config=experiments/deconvnet/camvid.py --workdir=runs/deconvnet_camvid
    python -m jaxseg.main --config=experiments/deconvnet/camvid.py:full \
        --workdir=runs/deconvnet_full --config.train.init_from=VGG16 \
        --config.train.init_partial=True
"""

from experiments.deeplab_v3_plus import camvid as deeplab_v3_plus_camvid
from experiments.segnet import camvid
from jaxseg import config
from jaxseg.layers.norm import CAFFE_NORM
from jaxseg.models import deconvnet


def get_config(size: str = "small") -> config.Experiment:
    """DeconvNet in one of two sizes.

    - "small": a quarter of its width, 256 features in fc6 and fc7, whose kernel is 5 since crops of
      192 x 256 leave maps of 6 x 8, and no ReLU in the decoder (see `deconvnet/shapes.py`); data,
      loss, schedule and protocol of the DeepLab v3+ run, so that the networks are comparable.
    - "full": fc6 and fc7 of 1024 features, by `camvid.segnet_protocol`.

    Raises:
      ValueError: `size` is none of these.
    """
    if size == "full":
        return camvid.segnet_protocol(deconvnet.DeconvNet(num_classes=11, fc_features=1024))
    if size != "small":
        raise ValueError(f"size is {size!r}: it must be small or full")
    experiment = deeplab_v3_plus_camvid.get_config()
    experiment.model = deconvnet.DeconvNet(
        num_classes=11,
        width=16,
        fc_features=256,
        fc_kernel=5,
        decoder_relu=False,
        norm=CAFFE_NORM.with_decay(0.97),
    )
    return experiment
