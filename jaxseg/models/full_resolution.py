"""The second naive way to segment: convolutions that never leave the resolution of the image.

Two objections to it: every layer is computed at every pixel of the image, so that a deep stack
cannot be wide; and each layer adds only two pixels to the receptive field.
`--mode=summary` shows both:

    FullResolution(21, width=64, depth=13)   # as many layers as VGG-16, a 33rd of its parameters,
                                             # 1.5 times its multiply-adds; sees 27 pixels, not 212

Departure: the textbook form has no padding, so that pixels stay where they are; with one pixel of
zeros on each side they do, and the map keeps its size.
"""

import flax.linen as nn

from jaxseg.layers.conv import Conv, he_normal_fan_in
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.types import Array, Outputs


class FullResolution(nn.Module):
    """A stack of 3x3 convolutions with ReLU at stride 1, then the scores."""

    num_classes: int
    width: int = 64
    depth: int = 8  # 3x3 convolutions
    norm: str = "batch"
    norm_epsilon: float = 1e-5
    norm_decay: float = 0.9
    norm_groups: int = 32
    dtype: str = "float32"  # of features; logits are float32
    form: str = "auto"

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], normalised, any H and W.

        Returns:
          "logits" float32 [B, H, W, K]; "features" [B, H, W, width].
        """
        x = images.astype(self.dtype)
        for number in range(1, self.depth + 1):
            x = ConvNorm(
                self.width,
                3,
                norm=self.norm,
                norm_epsilon=self.norm_epsilon,
                norm_decay=self.norm_decay,
                norm_groups=self.norm_groups,
                dtype=self.dtype,
                form=self.form,
                name=f"layer{number}",
            )(x, train=train)
        classifier = Conv(
            self.num_classes,
            1,
            use_bias=True,
            kernel_init=he_normal_fan_in,
            form=self.form,
            name="classifier",
        )
        return {"logits": classifier(x), "features": x}
