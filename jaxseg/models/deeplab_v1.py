"""DeepLab v1: "Semantic image segmentation with deep convolutional nets and fully connected CRFs".

VGG-16 at output stride 8 by atrous convolution, with its fully connected layers converted to
convolutions with fewer, more widely spaced taps (Chen et al., arXiv 1412.7062, section 3). The rows
of the table of fields of view, and the network with multi-scale features (section 4.3):

    DeepLabV1(21, large_fov_backbone())                                           # LargeFOV
    DeepLabV1(21, small_window_backbone(), 4, 4, 4096, average_pool=False)        # 4x4, rate 4
    DeepLabV1(21, small_window_backbone(), 4, 8, 4096, average_pool=False)        # 4x4, rate 8
    DeepLabV1(21, small_window_backbone(), 7, 4, 4096, average_pool=False)        # 7x7, rate 4
    DeepLabV1(21, large_fov_backbone(), msc_features=128)                         # MSc-LargeFOV
    DeepLabV1(21, large_fov_backbone(), 4, 4, 4096, False, msc_features=128)      # MSc

The paper's CRF is not part of the network.
"""

import functools

import flax.linen as nn
import jax.numpy as jnp

from jaxseg.backbones.vgg import VGG, FullyConvolutional
from jaxseg.layers.aspp import rates_at
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import Conv, classifier
from jaxseg.layers.pool import avg_pool
from jaxseg.layers.resize import resize_bilinear
from jaxseg.types import Array, Outputs

STATED_AT = 8  # the output stride at which DeepLab v1 and v2 state their rates
DIRECT = ("data", "pool1", "pool2", "pool3", "pool4")  # the maps that MSc classifies besides fc7

classifier_init = nn.initializers.normal(0.01)  # from the released configuration
direct_init = nn.initializers.normal(0.001)
last_direct_init = nn.initializers.normal(0.005)


def large_fov_backbone() -> VGG:
    """VGG-16 of LargeFOV and MSc: padded 3x3 poolings, so that 321 pixels give 161, 81 and 41."""
    return VGG(output_stride=8, pool_windows=(3,) * 5, pool_paddings=(1,) * 5)


def small_window_backbone() -> VGG:
    """VGG-16 of the first DeepLab (4x4, rate 4): 2x2 poolings; 306 pixels give 154, 78, 40 and 39.

    Unsure: whether the rows "4x4, rate 8" and "7x7, rate 4" use the same trunk; their prototxt
    files were not available.
    """
    return VGG(output_stride=8, pool_windows=(2, 2, 2, 2, 3), pool_paddings=(1, 1, 1, 0, 1))


class DirectPath(nn.Module):
    """Class scores of an early map: 3x3 and 1x1 convolutions and a classifier (section 4.3)."""

    num_classes: int  # number of classes
    features: int = 128  # channels of its two convolutions
    dropout: float = 0.5  # after each of them
    second_init: nn.initializers.Initializer = direct_init  # of the 1x1 convolution's kernel
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Array, stride: int, *, train: bool) -> Array:
        """Returns float32 class scores, [B, h / stride, w / stride, K]."""
        conv = functools.partial(Conv, self.features, use_bias=True, compute=self.compute)
        x = conv(3, stride, kernel_init=direct_init, name="conv1")(x)  # [B, h/s, w/s, 128]
        x = nn.Dropout(self.dropout, deterministic=not train)(nn.relu(x))
        x = conv(1, kernel_init=self.second_init, name="conv2")(x)
        x = nn.Dropout(self.dropout, deterministic=not train)(nn.relu(x))
        return classifier(self.num_classes, self.compute, kernel_init=classifier_init)(x)


class DeepLabV1(nn.Module):
    """The network of section 3, with the direct paths of section 4.3 if `msc_features` is positive.

    The paper trains on the map of stride 8, "coarse_logits", with every 8th label. "logits" are
    this map upsampled with aligned corners, as by Caffe's "Interp" with zoom 8.

    The paper describes direct paths as 5 * 128 channels concatenated with fc7 before one
    classifier, which equals the sum of six classifiers. As in the released files, "coarse_logits"
    come from paths with strides, and "logits" from the same paths on every pixel of their maps,
    each upsampled separately.

    Departure: an image may have any size. With 8 k + 1 pixels the network is exactly that of the
    released code; for other sizes the corners of map and image are aligned as well, by less than
    one step of the map from the true positions. (The released 2x2 network crops 7 and 8 pixels
    instead.)
    """

    num_classes: int  # number of classes; in an experiment 0 means that of the data set
    backbone: nn.Module  # a `VGG`; holds the output stride
    kernel_size: int = 3  # of fc6
    rate: int = 12  # of fc6, stated at output stride 8, scaled to the actual
    head_features: int = 1024  # of fc6 and fc7
    average_pool: bool = True  # pool5a, 3x3 before fc6
    dropout: float = 0.5  # after fc6 and fc7, and in the direct paths
    msc_features: int = 0  # of each direct path, 128 in the paper; 0: no direct paths
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], normalised, any H and W.

        Returns:
          "logits", float32 [B, H, W, K]; "coarse_logits", at the size of the map, float32
          [B, H/8, W/8, K]; "features", the backbone's last map.

        Raises:
          ValueError: the rate is not an integer at this output stride.
        """
        ends = self.backbone(images, train=train)
        x = ends["features"]  # [B, H/8, W/8, 512]
        outputs = {"features": x}
        if self.average_pool:
            x = avg_pool(x, 3, 1, 1)
        (rate,) = rates_at((self.rate,), self.backbone.output_stride, STATED_AT)
        x = FullyConvolutional(
            self.head_features,
            self.kernel_size,
            rate,
            dropout=self.dropout,
            compute=self.compute,
            name="head",
        )(x, train=train)  # [B, H/8, W/8, 1024]
        scores = classifier(self.num_classes, self.compute, kernel_init=classifier_init)
        coarse = scores(x)  # [B, H/8, W/8, K]
        logits = self._resized(coarse, images.shape[1:3])  # [B, H, W, K]
        if self.msc_features:
            direct, dense = self._direct(ends | {"data": images}, coarse.shape[1:3], train=train)
            coarse, logits = coarse + direct, logits + dense
        return outputs | {"coarse_logits": coarse, "logits": logits}

    def _direct(
        self, maps: dict[str, Array], size: tuple[int, ...], *, train: bool
    ) -> tuple[Array, Array]:
        """Returns the summed scores of the direct paths on a map of `size` and on the image."""
        coarse, dense = [], []
        for number, name in enumerate(DIRECT):
            path = DirectPath(
                self.num_classes,
                self.msc_features,
                self.dropout,
                last_direct_init if name == "pool4" else direct_init,
                self.compute,
                name=f"direct_{name}",
            )
            stride = max(1, self.backbone.output_stride // 2**number)
            # If only one of the two is used, XLA removes the other.
            coarse.append(self._resized(path(maps[name], stride, train=train), size))
            scores = path(maps[name], 1, train=train)  # [B, H/s, W/s, K]
            dense.append(self._resized(scores, maps["data"].shape[1:3]))
        return functools.reduce(jnp.add, coarse), functools.reduce(jnp.add, dense)

    def _resized(self, x: Array, size: tuple[int, ...]) -> Array:
        height, width = size
        form = self.compute.of("resize")
        return resize_bilinear(x, (height, width), convention="align_corners", form=form)
