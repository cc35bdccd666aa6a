"""DeconvNet: "Learning deconvolution network for semantic segmentation" (Noh et al., ICCV 2015).

VGG-16 down to one pixel of 4096 features, and a mirrored network that upsamples again by unpooling
to the positions of the maxima and transposed convolutions (arXiv 1505.04366, section 3, Figure 2):

    DeconvNet(21)                       # 251,805,653 parameters
    DeconvNet(11, fc_features=1024)     # as benchmarked in SegNet's paper
    DeconvNet(7, width=8, fc_features=64, fc_kernel=4)      # for images of 128 x 128
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp

from jaxseg.backbones.vgg import CHANNELS, NOMINAL_STRIDE, UNITS, VGG
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import Conv, classifier, he_normal_fan_in
from jaxseg.layers.conv_transpose import ConvTranspose
from jaxseg.layers.norm import CAFFE_NORM, Norm, NormLayer
from jaxseg.layers.upsample import Upsample
from jaxseg.types import Array, Outputs

_start = nn.initializers.normal(0.01)  # of the decoder and the classifier, as released


class DeconvNet(nn.Module):
    """Figure 2, as in the released prototxt; the encoder is named "backbone".

    The paper's input is 224 x 224, which fc6 covers in a single position. On larger images fc6
    gives a map, fc6-deconv sums its contributions at the size of pool5, and the unpooled maps have
    the sizes of the encoder's: the network is applied to every position at once.

    Departure: images for which pool5 is smaller than fc6's kernel are padded with zeros, the mean
    colour, at the bottom and right.
    Departure: batch statistics are running averages; the release computes them in an extra pass
    over the training set and folds them into scale and bias.
    """

    num_classes: int  # number of classes; in an experiment 0 means that of the data set
    depth: int = 16  # of the VGG
    width: int = 64  # features of stage 1
    fc_features: int = 4096  # of fc6 and fc7
    fc_kernel: int = 7  # of fc6 and its deconvolution: the side of pool5
    upsampling: str = "max_unpooling"  # or another kind of `layers/upsample.py`
    decoder_relu: bool = True  # False: a departure, for training from scratch
    norm: Norm = CAFFE_NORM
    compute: Compute = Compute()

    @property
    def smallest(self) -> int:
        """The smallest side of an image for which fc6 fits on pool5; 193 in the paper."""
        return NOMINAL_STRIDE * (self.fc_kernel - 1) + 1

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], normalised, any H and W.

        Returns:
          "logits", float32 [B, H, W, K]; "features" [B, H, W, 64], the input of the classifier;
          "fc7" [B, H/32 - 6, W/32 - 6, 4096].

        Raises:
          ValueError: `depth` or `upsampling` is unknown.
        """
        height, width = images.shape[1:3]
        below, right = (max(0, self.smallest - side) for side in (height, width))
        images = jnp.pad(images, [(0, 0), (0, below), (0, right), (0, 0)])
        conv = functools.partial(
            Conv, padding=0, use_bias=True, kernel_init=he_normal_fan_in, compute=self.compute
        )
        deconv = functools.partial(
            ConvTranspose, stride=1, use_bias=True, kernel_init=_start, compute=self.compute
        )
        layer = functools.partial(self._layer, activate=True, train=train)
        delayer = functools.partial(self._layer, activate=self.decoder_relu, train=train)
        ends = self._encoder()(images, train=train)
        x = ends["features"]  # [B, H/32, W/32, 512]
        x = layer(x, conv, self.fc_features, self.fc_kernel, "fc6")  # [B, H/32 - 6, W/32 - 6, 4096]
        fc7 = layer(x, conv, self.fc_features, 1, "fc7")
        x = delayer(fc7, deconv, self.width * CHANNELS[-1], self.fc_kernel, "fc6_deconv")
        for stage in range(len(CHANNELS), 0, -1):  # from [B, H/32, W/32, 512]
            upsample = Upsample(self.upsampling, compute=self.compute, name=f"unpool{stage}")
            x = upsample(x, ends[f"conv{stage}"].shape[1:3], ends.get(f"places{stage}"))
            units = UNITS[self.depth][stage - 1]
            for unit in range(1, units + 1):
                source = max(1, stage - 1) if unit == units else stage  # gives the output width
                features = self.width * CHANNELS[source - 1]
                same = functools.partial(deconv, padding=1)
                x = delayer(x, same, features, 3, f"deconv{stage}_{unit}")  # [B, H/s, W/s, C]
        x = x[:, :height, :width]
        score = classifier(self.num_classes, self.compute, kernel_init=_start)
        return {"logits": score(x), "features": x, "fc7": fc7}  # [B, H, W, K], [B, H, W, 64]

    def _encoder(self) -> VGG:
        return VGG(
            self.depth,
            width=self.width,
            places=self.upsampling == "max_unpooling",
            norm=self.norm,
            compute=self.compute,
            name="backbone",
        )

    def _layer(
        self,
        x: Array,
        kind: Callable[..., nn.Module],
        features: int,
        kernel_size: int,
        name: str,
        *,
        activate: bool,
        train: bool,
    ) -> Array:
        """Applies a convolution of either kind, its norm and, if `activate`, ReLU."""
        x = kind(features, kernel_size, name=name)(x)
        x = NormLayer(self.norm, self.compute.dtype, name=f"{name}_norm")(x, train=train)
        return nn.relu(x) if activate else x
