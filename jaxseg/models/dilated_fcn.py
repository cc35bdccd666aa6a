"""The dilated FCN: a ResNet at output stride 8 whose map is classified directly.

It is the baseline of EncNet's paper (Zhang et al., arXiv 1803.08904, section 4); torchvision's
`fcn_resnet50` and `fcn_resnet101` are another instance (`compat.torchvision_fcn`):

    DilatedFCN(59, encnet_backbone(50))  # PASCAL Context: 41.0 mIoU, where EncNet has 49.2

The FCN of Long et al. is in `fcn.py`.
"""

import functools

import flax.linen as nn

from jaxseg.layers.compute import Compute
from jaxseg.layers.fcn_head import FCNHead, aux_map
from jaxseg.layers.norm import Norm
from jaxseg.layers.resize import resize_bilinear
from jaxseg.types import Array, Outputs


class DilatedFCN(nn.Module):
    """The FCN head on a backbone; the output stride is the backbone's.

    The paper does not state whether its baseline had the auxiliary head; EncNet's released code and
    torchvision's networks have it.
    """

    num_classes: int  # number of classes; in an experiment 0 means that of the data set
    backbone: nn.Module  # `encnet.encnet_backbone`, or another with a "stage3"
    head_features: int = 512  # a quarter of the map's channels
    dropout: float = 0.1  # before the classifier
    aux_features: int = 256  # a quarter of stage 3's channels; 0: no auxiliary head
    aux_dropout: float = 0.1  # before the classifier of the auxiliary head
    # "align_corners", "half_pixel" or "origin"; see jaxseg/sampling.py
    resize_convention: str = "align_corners"
    norm: Norm = Norm()
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], normalised, any H and W.

        Returns:
          "logits" and, with an auxiliary head, "aux_logits", float32 [B, H, W, K];
          "coarse_logits" [B, H/8, W/8, K], the logits before upsampling; "features", the backbone's
          last map.

        Raises:
          ValueError: `aux_features` is positive and the backbone has no stage 3.
        """
        height, width = images.shape[1:3]
        head = functools.partial(FCNHead, self.num_classes, norm=self.norm, compute=self.compute)
        upsample = functools.partial(
            resize_bilinear,
            size=(height, width),
            convention=self.resize_convention,
            form=self.compute.of("resize"),
        )
        ends = self.backbone(images, train=train)
        features: Array = ends["features"]  # [B, H/8, W/8, 2048]
        x = head(self.head_features, self.dropout, name="head")(features, train=train)
        outputs = {"features": features, "coarse_logits": x, "logits": upsample(x)}
        if self.aux_features:
            x = aux_map(ends, self.aux_features, self.backbone)  # [B, H/8, W/8, 1024]
            x = head(self.aux_features, self.aux_dropout, name="aux_head")(x, train=train)
            outputs["aux_logits"] = upsample(x)  # [B, H, W, K]
        return outputs
