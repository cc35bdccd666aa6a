"""U-Net's expanding path on a backbone: what most of its users run today.

The paper (Ronneberger et al., arXiv 1505.04597; see `models/unet.py`) has a contracting path of its
own. segmentation_models_pytorch and others put a trained classifier in its place; then the skips
are the classifier's maps and there is none at full resolution:

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
    """Steps up from the backbone's last map, each with two 3x3 convolutions.

    A step upsamples the map by repetition and sets the next skip beside it; after the last skip the
    steps go on to the size of the image.
    """

    num_classes: int  # classes that are scored; in an experiment 0 stands for those of the data set
    backbone: nn.Module  # of jaxseg.backbones
    skips: tuple[str, ...] = ("stage3", "stage2", "stage1", "stem")  # end points, coarse to fine
    step_features: tuple[int, ...] = (256, 128, 64, 32, 16)  # of each step
    classifier_kernel_size: int = 3  # of the last convolution, which scores
    norm: Norm = Norm()
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], normalised, any H and W.

        Returns:
          "logits" float32 [B, H, W, K]; "features" of the backbone and "decoder", what is
          classified.

        Raises:
          ValueError: there are not more steps than skips, or the backbone lacks one of those.
        """
        ends = self.backbone(images, train=train)
        if missing := [name for name in self.skips if name not in ends]:
            raise ValueError(
                f"skips holds {', '.join(missing)}: the backbone has {', '.join(ends)}"
            )
        if len(self.step_features) <= len(self.skips):
            raise ValueError(
                f"step_features has {len(self.step_features)} steps: {len(self.skips)} skips "
                "and the image need one more than there are skips"
            )
        x = ends["features"]  # [B, H/32, W/32, 2048]
        steps = len(self.step_features)
        for number, features in enumerate(self.step_features, start=1):
            skip = ends[self.skips[number - 1]] if number <= len(self.skips) else None
            left = 2 ** (steps - number)  # by which the map is smaller than the image after it
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
        """The first convolution of a step, on x upsampled to `size` beside the skip."""
        layer = UpConv(features, self.compute, name=f"up{number}_conv1")
        if size == (2 * x.shape[1], 2 * x.shape[2]):
            return layer(x, skip, upsample=True)
        # Sizes that 2 does not divide, and end points of one stride.
        return layer(resize_nearest(x, size, convention="half_pixel"), skip, upsample=False)

    def _conv(self, features: int, size: int, name: str) -> Conv:
        init = he_normal_fan_in
        return Conv(features, size, kernel_init=init, compute=self.compute, name=name)

    def _norm(self, name: str) -> NormLayer:
        return NormLayer(self.norm, self.compute.dtype, name=name)


class UpConv(nn.Module):
    """A 3x3 convolution of two maps side by side, the first upsampled twice or not."""

    features: int  # channels that it gives
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Array, skip: Array | None, *, upsample: bool) -> Array:
        """[B, h, w, C] and [B, H, W, S] or None -> [B, H, W, features]."""
        dtype = self.compute.dtype
        maps = [x.astype(dtype)] + ([] if skip is None else [skip.astype(dtype)])
        shape = (3, 3, sum(m.shape[3] for m in maps), self.features)
        kernel = self.param("kernel", he_normal_fan_in, shape, jnp.float32).astype(dtype)
        if upsample:
            form = self.compute.of("transposed")
            return up_conv(maps[0], maps[1] if len(maps) > 1 else None, kernel, form=form)
        return conv(jnp.concatenate(maps, axis=-1), kernel, form=self.compute.of("dense"))
