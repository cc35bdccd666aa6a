"""SegNet (arXiv 1511.00561) on CamVid: for two CPU cores, by the paper's benchmark, as released.

Expected: "full": 50.02 mIoU on test after 40k steps, 60.10 at its best (140k), from the weights of
VGG-16 and 3,433 training images (Table 3); CamVid alone has 367. "release": 50.2 on test as the
authors' tutorial has it (unverified); Yu and Koltun list SegNet at 46.4.
Measured: see experiments/results/.

    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.main --config=experiments/segnet/camvid.py --workdir=runs/segnet_camvid
    python -m jaxseg.main --config=experiments/segnet/camvid.py:full --workdir=runs/segnet_full \
        --config.train.init_from=VGG16

VGG16 is what jaxseg.convert makes of a file of VGG-16 for this experiment: of torchvision's
for "full"; for "release" of Caffe's or torchvision's with --any_mean, since it takes raw pixels.
"""

import flax.linen as nn

from experiments.deeplab_v3_plus import camvid
from jaxseg import config
from jaxseg.layers.norm import CAFFE_NORM
from jaxseg.models import segnet

# Median-frequency weights of the released segnet_train.prototxt, in the order of its classes, which
# is ours: sky, building, pole, road, pavement, tree, signsymbol, fence, car, pedestrian, bicyclist.
# SignSymbol's is 2.5 times the value from its frequency, for an unknown reason.
RELEASED = (0.2595, 0.1826, 4.564, 0.1417, 0.9051, 0.3826, 9.6446, 1.8418, 0.6823, 6.2478, 7.3614)


def segnet_protocol(model: nn.Module) -> config.Experiment:
    """SegNet's CamVid protocol for any network of 11 classes: the benchmark of its Table 3.

    Whole images of 360 x 480 as they are, neither cropped, scaled nor flipped; batch 5; SGD at
    0.001 throughout with momentum 0.9 and weight decay 5e-4 (the released solver's); no class
    weights; 40,000 steps, the first column of the table; one scale, void left out. All networks use
    it rather than the release's recipe (see `get_config`), because the paper compares the other
    networks in this way.

    Departure: pixels are normalised by ImageNet's mean and deviation, as torchvision's encoders
    expect; the benchmark's normalisation is not stated.
    """
    return config.Experiment(
        model=model,
        data=config.Data(
            name="camvid",
            batch_size=5,
            crop_size=(360, 480),
            augment=config.Augment(scale_range=(1.0, 1.0), flip=False),
            normalisation=config.Normalisation(
                mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
            ),
        ),
        optim=config.Optim(
            learning_rate=1e-3, schedule="constant", momentum=0.9, weight_decay=5e-4
        ),
        train=config.Train(steps=40_000),
        eval=config.Eval(batch_size=5, size=(360, 480)),
    )


def get_config(size: str = "small") -> config.Experiment:
    """SegNet in one of three sizes.

    - "small": a quarter of its width, with the data, loss, schedule and protocol of the DeepLab v3+
      run, so that the networks are comparable; no ReLU in the decoder, see `segnet/shapes.py`.
    - "full": `segnet_protocol`.
    - "release": alexgkendall/SegNet-Tutorial, Models/segnet_solver.prototxt and
      segnet_train.prototxt: batch 4, the weights of the classes, raw values of 0..255; biases learn
      twice as fast and do not decay (lr_mult 2, decay_mult 0), a norm's scale decays (decay_mult 1)
      and its shift does not.

    Raises:
      ValueError: `size` is none of these.
    """
    if size == "small":
        experiment = camvid.get_config()
        experiment.model = segnet.SegNet(
            num_classes=11,
            width=16,
            decoder_relu=False,
            norm=CAFFE_NORM.with_decay(0.97),
        )
        return experiment
    if size not in ("full", "release"):
        raise ValueError(f"size is {size!r}: it must be small, full or release")
    experiment = segnet_protocol(segnet.SegNet(num_classes=11))
    if size == "release":
        experiment.data.batch_size = 4
        experiment.data.normalisation = config.Normalisation((0.0,) * 3, (1.0,) * 3)
        experiment.loss.class_weights = RELEASED
        experiment.optim.multipliers = ((r"(conv|classifier)[^/]*/bias$", 2.0),)
        experiment.optim.decayed = ("kernels", "scales")
    return experiment
