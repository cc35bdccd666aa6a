"""The FCN head: a 3x3 convolution, dropout and a 1x1 classifier on a backbone's feature map.

It is the head of the dilated FCN that is the baseline of EncNet's paper (arXiv 1803.08904,
section 4) and of torchvision's `fcn_resnet50`, and the auxiliary head of PSPNet (arXiv 1612.01105,
section 3.3), EncNet and torchvision's DeepLab v3; there `features` is a quarter of the map's
channels.
"""

from collections.abc import Mapping

import flax.linen as nn
from jaxtyping import Float

from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import classifier, he_normal_fan_in, he_normal_fan_out
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.layers.norm import Norm
from jaxseg.types import Array

AUX_STAGE = "stage3"  # of a ResNet


def fcn_scores(
    x: Float[Array, "b h w c"],
    num_classes: int,
    features: int,
    dropout: float,
    *,
    norm: Norm,
    compute: Compute,
    train: bool,
    prefix: str = "",
    conv_init: nn.initializers.Initializer = he_normal_fan_out,
    classifier_init: nn.initializers.Initializer = he_normal_fan_in,
) -> Float[Array, "b h w {num_classes}"]:
    """Returns class scores; the layers are named PREFIXconv and PREFIXclassifier."""
    x = ConvNorm(
        features, 3, kernel_init=conv_init, norm=norm, compute=compute, name=f"{prefix}conv"
    )(x, train=train)  # [B, h, w, C/4]
    x = nn.Dropout(dropout, deterministic=not train)(x)
    name = f"{prefix}classifier"
    return classifier(num_classes, compute, kernel_init=classifier_init, name=name)(x)


class FCNHead(nn.Module):
    """Computes class scores for each pixel of a map, without upsampling."""

    num_classes: int
    features: int
    dropout: float = 0.1  # of individual values, not of whole channels
    norm: Norm = Norm()
    compute: Compute = Compute()

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], *, train: bool
    ) -> Float[Array, "b h w {self.num_classes}"]:
        """Returns the class scores; in training, dropout uses the rng "dropout"."""
        given = (self.num_classes, self.features, self.dropout)
        return fcn_scores(x, *given, norm=self.norm, compute=self.compute, train=train)


def aux_map(ends: Mapping[str, Array], aux_features: int, backbone: nn.Module) -> Array:
    """Returns the map that an auxiliary head classifies, [B, H/8, W/8, 1024].

    Raises:
      ValueError: the backbone has no stage 3.
    """
    if AUX_STAGE not in ends:
        raise ValueError(
            f"aux_features is {aux_features}: the auxiliary head needs stage 3 of a ResNet, and "
            f"{type(backbone).__name__} has none; set it to 0"
        )
    return ends[AUX_STAGE]
