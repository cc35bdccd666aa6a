"""U-Net: "Convolutional networks for biomedical image segmentation" (Ronneberger et al., 2015).

A contracting and an expanding path of equal depth, whose levels are connected by concatenation
(arXiv 1505.04597, section 2, Figure 1):

    UNet(2)                   # the figure: 572 x 572 in, 388 x 388 out, 31.03 million parameters
    UNet(2, valid=False)      # zero padding of each map instead of mirror padding of the image
"""

import functools

import flax.linen as nn
import jax.numpy as jnp

from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import Conv, classifier, he_normal_fan_in
from jaxseg.layers.conv_transpose import ConvTranspose
from jaxseg.layers.mirror import mirrored
from jaxseg.layers.norm import Norm, NormLayer
from jaxseg.layers.pool import max_pool
from jaxseg.layers.unpool import max_pool_with_places
from jaxseg.layers.upsample import Upsample
from jaxseg.types import Array, Outputs


class UNet(nn.Module):
    """Figure 1, for images of any size.

    With `valid`, convolutions are not padded, so the map loses 92 pixels on each side (with five
    levels). The paper therefore pads the image by mirroring it at its borders (section 2, the
    overlap-tile strategy), and so does the model unless `mirror` is off: then there are logits for
    the inner pixels only, as in the figure.

    Departure: an image that does not fit the levels (16 k + 60 pixels in Figure 1) is padded at the
    bottom and right until it does.
    """

    num_classes: int  # number of classes; in an experiment 0 means that of the data set
    width: int = 64  # features of the first level; each further level has twice as many
    levels: int = 5  # number of resolutions, including the image's
    valid: bool = True  # convolutions without padding; skips are centre-cropped
    # pad the image by mirroring it; else there are logits for the inner pixels only
    mirror: bool = True
    # "transposed" is the paper's: 2x2, learned, to half the channels. With another kind of
    # `layers/upsample.py` a 1x1 convolution halves them first.
    upsampling: str = "transposed"
    # "Drop-out layers at the end of the contracting path"; the paper gives no rate. Ports of the
    # released network have 0.5 on the last two levels.
    dropout: float = 0.5
    norm: Norm = Norm("none")  # as in the paper; most later versions add "batch"
    compute: Compute = Compute()

    @property
    def border(self) -> int:
        """The number of pixels that an image loses on each side; 92 in Figure 1."""
        if not self.valid:
            return 0
        inner = self._through(self.smallest) or 0
        return (self.smallest - inner) // 2

    @property
    def smallest(self) -> int:
        """The smallest side of an image for which every level has a pixel; 188 in Figure 1."""
        step = 2 ** (self.levels - 1)
        side = step if not self.valid else 1
        while not self._through(side):
            side += 1
        return side

    def _through(self, side: int) -> int | None:
        """Returns the output side for an input side, or None if a level would be odd or empty."""
        lost = 4 if self.valid else 0  # in two 3x3 convolutions
        for _ in range(self.levels - 1):
            side -= lost
            if side < 2 or side % 2:
                return None
            side //= 2
        side -= lost
        if side < 1:
            return None
        for _ in range(self.levels - 1):
            side = 2 * side - lost
            if side < 1:
                return None
        return side

    def padded(self, side: int) -> int:
        """Returns the smallest side that is at least `side` and fits all levels."""
        side = max(side, self.smallest)
        while not self._through(side):
            side += 1
        return side

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, C], normalised, any H and W.

        Returns:
          "logits", float32 [B, H, W, K], but [B, H - 184, W - 184, K] (in Figure 1) if `valid` is
          on and `mirror` off; "features", the input of the classifier.

        Raises:
          ValueError: there are fewer than two levels; `upsampling` is unknown; `valid` is on,
            `mirror` off and the size does not fit the levels.
        """
        if self.levels < 2:
            raise ValueError(f"levels is {self.levels}: a U-Net has at least two")
        height, width = images.shape[1:3]
        if self.mirror or not self.valid:
            x = self._mirror_padded(images)
        else:
            x = images
            for side in (height, width):
                if not self._through(side):
                    raise ValueError(
                        f"images of {height} x {width} do not fit {self.levels} levels of valid "
                        f"convolutions: use {self.padded(side)} pixels instead of {side}, or turn "
                        "mirror on"
                    )
        x = x.astype(self.compute.dtype)
        skips, places, form = [], [], self.compute.of("pool")
        for level in range(self.levels):
            if level and self.upsampling == "max_unpooling":
                x, its = max_pool_with_places(x, form=form)  # [B, H/2, W/2, C]
                places.append(its)
            elif level:
                x = max_pool(x, 2, 2, form=form)  # [B, H/2, W/2, C]
            x = self._convs(x, self.width * 2**level, f"down{level}", train=train)
            if level >= self.levels - 2:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
            skips.append(x)
        for level in reversed(range(self.levels - 1)):
            features = self.width * 2**level
            where = _middle(places[level], x.shape[1:3]) if places else None
            x = self._upsampled(x, features, where, f"up{level}")  # [B, 2 H, 2 W, C/2]
            x = jnp.concatenate([_middle(skips[level], x.shape[1:3]), x], axis=-1)
            x = self._convs(x, features, f"up{level}", train=train)
        outputs = {"features": x}
        x = classifier(self.num_classes, self.compute)(x)
        if self.mirror or not self.valid:
            x = x[:, :height, :width]
        return outputs | {"logits": x}  # [B, H, W, K]

    def _mirror_padded(self, images: Array) -> Array:
        """Pads images by reflection to a size that fits the levels."""
        border = self.border
        rows, columns = (
            (border, self.padded(side + 2 * border) - side - border) for side in images.shape[1:3]
        )
        return mirrored(images, rows, columns)

    def _upsampled(self, x: Array, features: int, places: Array | None, name: str) -> Array:
        """Upsamples [B, h, w, C] to [B, 2 h, 2 w, features]."""
        if self.upsampling == "transposed":
            return ConvTranspose(features, 2, 2, use_bias=True, compute=self.compute, name=name)(x)
        half = Conv(
            features,
            1,
            use_bias=True,
            kernel_init=he_normal_fan_in,
            compute=self.compute,
            name=name,
        )
        upsample = Upsample(self.upsampling, compute=self.compute)
        return upsample(half(x), (2 * x.shape[1], 2 * x.shape[2]), places)

    def _convs(self, x: Array, features: int, name: str, *, train: bool) -> Array:
        """Applies two 3x3 convolutions with ReLU."""
        conv = functools.partial(
            Conv,
            features,
            3,
            padding=0 if self.valid else None,
            use_bias=self.norm.kind == "none",
            kernel_init=he_normal_fan_in,  # section 3: standard deviation sqrt(2 / N)
            compute=self.compute,
        )
        for number in (1, 2):
            x = conv(name=f"{name}_conv{number}")(x)
            if self.norm.kind != "none":
                norm = NormLayer(self.norm, self.compute.dtype, name=f"{name}_norm{number}")
                x = norm(x, train=train)
            x = nn.relu(x)
        return x


def _middle(x: Array, size: tuple[int, ...]) -> Array:
    """Crops the centre of [B, H, W, C] to `size`, as in Figure 1."""
    top, left = ((n - m) // 2 for n, m in zip(x.shape[1:3], size, strict=True))
    return x[:, top : top + size[0], left : left + size[1]]
