"""SegNet-Basic (arXiv 1511.00561) on CamVid: for two CPU cores, by the paper's study, as released.

Expected: "full": 47.7 mIoU on test with median-frequency weights, 46.3 without (Table 1).
"release": 46.3 on test, by the authors' tutorial (unverified).
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.main --config=experiments/segnet/basic_camvid.py --workdir=runs/segnet_basic
    python -m jaxseg.main --config=experiments/segnet/basic_camvid.py:full \
        --workdir=runs/segnet_basic_full

Other rows of Table 1: --config.model.encoder_addition=True, --config.model.decoder=depthwise,
--config.model.upsampling=bilinear; see jaxseg/models/segnet_basic.py.
"""

from experiments.deeplab_v3_plus import camvid as deeplab_v3_plus_camvid
from experiments.segnet import camvid
from jaxseg import config
from jaxseg.layers.norm import CAFFE_NORM
from jaxseg.models import segnet_basic

BIASES = r"^(conv\w*|classifier)/bias$"  # of convolutions


def get_config(size: str = "small") -> config.Experiment:
    """SegNet-Basic in one of three sizes, always on raw values of 0..255: its LRN is made for them.

    - "small": a quarter of its width, with the data, loss, schedule and protocol of the DeepLab v3+
      run, so that the networks are comparable.
    - "full": section 3.2: SGD at 0.1 throughout, momentum 0.9, batch 12, no biases. The number of
      steps is not stated: 10,000, the release's. So are the class weights and the weight decay.
    - "release": alexgkendall/SegNet-Tutorial, Models/segnet_basic_solver.prototxt and
      segnet_basic_train.prototxt: batch 4, 10,000 steps; biases of convolutions learn twice as fast
      and do not decay; norms, which the file does not mention, decay (Caffe's default).

    Departure: LRN on the input, as released; the paper's text has local contrast normalisation. The
    paper selects the step with the highest global accuracy on val; here the last step is used.

    Raises:
      ValueError: `size` is none of these.
    """
    if size == "small":
        experiment = deeplab_v3_plus_camvid.get_config()
        experiment.model = segnet_basic.SegNetBasic(
            num_classes=11, width=16, norm=CAFFE_NORM.with_decay(0.97)
        )
    elif size in ("full", "release"):
        experiment = camvid.segnet_protocol(
            segnet_basic.SegNetBasic(num_classes=11, use_bias=size == "release")
        )
        experiment.data.batch_size = 12 if size == "full" else 4
        experiment.loss.class_weights = camvid.RELEASED
        experiment.optim.learning_rate = 0.1
        experiment.train.steps = 10_000
        if size == "release":
            experiment.optim.multipliers = ((BIASES, 2.0),)
            experiment.optim.decayed = ("kernels", "scales", "shifts")
    else:
        raise ValueError(f"size is {size!r}: it must be small, full or release")
    experiment.data.normalisation = config.Normalisation((0.0,) * 3, (1.0,) * 3)
    return experiment
