"""The dilated FCN: a ResNet at output stride 8 whose map is classified, with nothing added to it.

The baseline of EncNet's paper (Zhang et al., arXiv 1803.08904, section 4), and torchvision's
`fcn_resnet50` and `fcn_resnet101`:

    DilatedFCN(59, encnet_backbone(50))  # PASCAL Context: 41.0 mIoU, where EncNet has 49.2
    torchvision_fcn(101, 21)

It is not the FCN of Long et al., which is in `fcn.py`.
"""

import functools

import flax.linen as nn

from jaxseg.backbones.resnet import ResNet
from jaxseg.layers.fcn_head import FCNHead
from jaxseg.layers.resize import resize_bilinear
from jaxseg.types import Array, Outputs


class DilatedFCN(nn.Module):
    """The FCN head on the backbone's map, whose output stride is the model's.

    Whether the paper's own baseline had the auxiliary head is not stated there; EncNet's released
    code and torchvision's networks have it.
    """

    num_classes: int
    backbone: nn.Module  # `encnet.encnet_backbone`, or another with a "stage3"
    head_features: int = 512  # a quarter of the map's channels
    dropout: float = 0.1
    aux_features: int = 256  # likewise, of stage 3; 0: no auxiliary head
    aux_dropout: float = 0.1
    resize_convention: str = "align_corners"
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
          "logits" and, with an auxiliary head, "aux_logits", float32 [B, H, W, K];
          "coarse_logits" [B, H/8, W/8, K], which the former enlarge; "features", the backbone's.

        Raises:
          ValueError: an auxiliary head is asked for on a backbone without a stage 3.
        """
        height, width = images.shape[1:3]
        head = functools.partial(
            FCNHead,
            self.num_classes,
            norm=self.norm,
            norm_epsilon=self.norm_epsilon,
            norm_decay=self.norm_decay,
            norm_groups=self.norm_groups,
            dtype=self.dtype,
            form=self.form,
        )
        upsample = functools.partial(
            resize_bilinear,
            size=(height, width),
            convention=self.resize_convention,
            form=self.form,
        )
        ends = self.backbone(images, train=train)
        features: Array = ends["features"]  # [B, H/8, W/8, 2048]
        x = head(self.head_features, self.dropout, name="head")(features, train=train)
        outputs = {"features": features, "coarse_logits": x, "logits": upsample(x)}
        if self.aux_features:
            if "stage3" not in ends:
                raise ValueError(
                    f"aux_features is {self.aux_features}: the auxiliary head stands on stage 3 of "
                    f"a ResNet, and {type(self.backbone).__name__} has none; set it to 0"
                )
            x = head(self.aux_features, self.aux_dropout, name="aux_head")(
                ends["stage3"], train=train
            )  # [B, H/8, W/8, K]
            outputs["aux_logits"] = upsample(x)  # [B, H, W, K]
        return outputs


def torchvision_fcn(depth: int, num_classes: int, aux: bool = True) -> DilatedFCN:
    """torchvision's `fcn_resnet50` and `fcn_resnet101` (models/segmentation).

    Stem 7x7, output stride 8 with the first unit of a stage at the rate before it, half-pixel
    upsampling. Its recipe weighs the auxiliary loss by 0.5.
    """
    backbone = ResNet(depth=depth, output_stride=8, stride_at="first_3x3")
    return DilatedFCN(
        num_classes,
        backbone,
        aux_features=256 if aux else 0,
        resize_convention="half_pixel",
    )
