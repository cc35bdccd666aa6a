"""U-Net's expanding path on a backbone, the form in which it is mostly used today.

The paper (Ronneberger et al., arXiv 1505.04597; see `models/unet.py`) trains its contracting path
from scratch. segmentation_models_pytorch and others replace it by a pretrained classifier; the
skips are then feature maps of the classifier, and there is none at full resolution:

    BackboneUNet(21, ResNet(depth=50, output_stride=32))  # smp's: 32,524,005 parameters
"""

import flax.linen as nn
import jax.numpy as jnp

from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import Conv, classifier, conv, he_normal_fan_in
from jaxseg.layers.norm import Norm, NormLayer
from jaxseg.layers.resize import resize_nearest
from jaxseg.layers.up_conv import up_conv
from jaxseg.types import Array, Outputs


class BackboneUNet(nn.Module):
    """A decoder of upsampling steps from the backbone's last map, each with two 3x3 convolutions.

    A step upsamples the map by repetition and concatenates the next skip; after the last skip,
    further steps upsample to the size of the image.
    """

    num_classes: int  # number of classes; in an experiment 0 means that of the data set
    backbone: nn.Module  # of jaxseg.backbones
    skips: tuple[str, ...] = ("stage3", "stage2", "stage1", "stem")  # end points, coarsest first
    step_features: tuple[int, ...] = (256, 128, 64, 32, 16)  # output channels of each step
    classifier_kernel_size: int = 3  # of the last convolution, which scores
    norm: Norm = Norm()
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], normalised, any H and W.

        Returns:
          "logits", float32 [B, H, W, K]; "features", the backbone's last map; "decoder", the input
          of the classifier.

        Raises:
          ValueError: there are not more steps than skips, or the backbone lacks one of the skips.
        """
        ends = self.backbone(images, train=train)
        if missing := [name for name in self.skips if name not in ends]:
            raise ValueError(
                f"skips contains {', '.join(missing)}: the backbone has {', '.join(ends)}"
            )
        if len(self.step_features) <= len(self.skips):
            raise ValueError(
                f"step_features has {len(self.step_features)} steps: {len(self.skips)} skips need "
                f"at least {len(self.skips) + 1}"
            )
        x = ends["features"]  # [B, H/32, W/32, 2048]
        steps = len(self.step_features)
        for number, features in enumerate(self.step_features, start=1):
            skip = ends[self.skips[number - 1]] if number <= len(self.skips) else None
            left = 2 ** (steps - number)  # stride of the map after this step
            _, height, width, _ = (images[:, ::left, ::left] if skip is None else skip).shape
            x = self._step(x, skip, (height, width), features, number)  # [B, H/left, W/left, F]
            x = nn.relu(self._norm(f"up{number}_conv1_norm")(x, train=train))
            conv = self._conv(features, 3, f"up{number}_conv2")
            x = nn.relu(self._norm(f"up{number}_conv2_norm")(conv(x), train=train))
        size = self.classifier_kernel_size
        scores = classifier(self.num_classes, self.compute, kernel_size=size)(x)
        outputs = {"features": ends["features"], "decoder": x}
        return outputs | {"logits": scores}  # [B, H, W, K]

    def _step(
        self, x: Array, skip: Array | None, size: tuple[int, int], features: int, number: int
    ) -> Array:
        """Upsamples x to `size`, concatenates the skip and applies the step's first convolution."""
        layer = UpConv(features, self.compute, name=f"up{number}_conv1")
        if size == (2 * x.shape[1], 2 * x.shape[2]):
            return layer(x, skip, upsample=True)
        # Odd sizes, and consecutive end points of the same stride.
        return layer(resize_nearest(x, size, convention="half_pixel"), skip, upsample=False)

    def _conv(self, features: int, size: int, name: str) -> Conv:
        init = he_normal_fan_in
        return Conv(features, size, kernel_init=init, compute=self.compute, name=name)

    def _norm(self, name: str) -> NormLayer:
        return NormLayer(self.norm, self.compute.dtype, name=name)


class UpConv(nn.Module):
    """A 3x3 convolution of two concatenated maps, the first optionally upsampled by 2."""

    features: int  # channels that it gives
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Array, skip: Array | None, *, upsample: bool) -> Array:
        """Convolves x [B, h, w, C] and a skip [B, H, W, S], if any, to [B, H, W, features]."""
        dtype = self.compute.dtype
        maps = [x.astype(dtype)] + ([] if skip is None else [skip.astype(dtype)])
        shape = (3, 3, sum(m.shape[3] for m in maps), self.features)
        kernel = self.param("kernel", he_normal_fan_in, shape, jnp.float32).astype(dtype)
        if upsample:
            form = self.compute.of("transposed")
            return up_conv(maps[0], maps[1] if len(maps) > 1 else None, kernel, form=form)
        return conv(jnp.concatenate(maps, axis=-1), kernel, form=self.compute.of("dense"))
