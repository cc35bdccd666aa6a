"""A full-resolution stack of convolutions, the second naive approach to segmentation.

It has two disadvantages: every layer is computed at every pixel of the image, so a deep stack
cannot be wide; and each layer adds only two pixels to the receptive field. `--mode=summary` shows
both:

    FullResolution(21, width=64, depth=13)   # as many layers as VGG-16, 1/33 of its parameters,
                                             # 1.5 times its multiply-adds; sees 27 pixels, not 212

Departure: the textbook form has no padding; here each layer pads with one pixel of zeros on each
side, so that the map keeps its size.
"""

import flax.linen as nn

from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import classifier
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.layers.norm import Norm
from jaxseg.types import Array, Outputs


class FullResolution(nn.Module):
    """A stack of 3x3 convolutions with ReLU at stride 1, and a classifier."""

    num_classes: int  # number of classes; in an experiment 0 means that of the data set
    width: int = 64  # channels of each convolution
    depth: int = 8  # number of 3x3 convolutions
    norm: Norm = Norm()
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], normalised, any H and W.

        Returns:
          "logits", float32 [B, H, W, K]; "features" [B, H, W, width].
        """
        x = images.astype(self.compute.dtype)
        for number in range(1, self.depth + 1):
            layer = ConvNorm(
                self.width, 3, norm=self.norm, compute=self.compute, name=f"layer{number}"
            )
            x = layer(x, train=train)
        return {"logits": classifier(self.num_classes, self.compute)(x), "features": x}
