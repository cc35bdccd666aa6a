"""The FCN head: one 3x3 convolution, dropout and a 1x1 classifier, on a map of a backbone."""

import flax.linen as nn

from jaxseg.layers.conv import Conv, he_normal_fan_in
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.types import Array


class FCNHead(nn.Module):
    """Scores of each pixel of a map, without enlarging them.

    The head of the dilated FCN that EncNet's paper measures itself against (arXiv 1803.08904,
    section 4), of torchvision's `fcn_resnet50`, and the auxiliary head of both and of EncNet; there
    `features` is a quarter of the map's channels.
    """

    num_classes: int
    features: int
    dropout: float = 0.1  # of single values
    norm: str = "batch"
    norm_epsilon: float = 1e-5
    norm_decay: float = 0.9
    norm_groups: int = 32
    dtype: str = "float32"  # of features; scores are float32
    form: str = "auto"

    @nn.compact
    def __call__(self, x: Array, *, train: bool) -> Array:
        """[B, h, w, C] -> float32 [B, h, w, K]; dropout takes the rng "dropout" in training."""
        x = ConvNorm(
            self.features,
            3,
            norm=self.norm,
            norm_epsilon=self.norm_epsilon,
            norm_decay=self.norm_decay,
            norm_groups=self.norm_groups,
            dtype=self.dtype,
            form=self.form,
            name="conv",
        )(x, train=train)  # [B, h, w, C/4]
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        classifier = Conv(
            self.num_classes,
            1,
            use_bias=True,
            kernel_init=he_normal_fan_in,
            form=self.form,
            name="classifier",
        )
        return classifier(x)  # [B, h, w, K]
