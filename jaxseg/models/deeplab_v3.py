"""DeepLab v3: "Rethinking atrous convolution for semantic image segmentation" (arXiv 1706.05587).

A backbone at a chosen output stride by atrous convolution, followed by one of the paper's two
heads: ASPP with image-level features (section 3.3, Figure 5), or the cascade (section 3.2,
Figure 3), a backbone with extra blocks whose features are classified directly. The best row of
Table 5, and the best of Table 3:

    DeepLabV3(21, ResNet(101, stem="3x3x3", stride_at="last_3x3", multi_grid=(1, 2, 4)))
    DeepLabV3(21, ResNet(101, stem="3x3x3", stride_at="last_3x3", multi_grid=(1, 2, 1),
                         extra_blocks=3), aspp=False)
"""

import functools

import flax.linen as nn

from jaxseg.layers.aspp import ASPP, classifier_init, rates_at, xavier_uniform
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import classifier
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.layers.fcn_head import aux_map, fcn_scores
from jaxseg.layers.norm import Norm
from jaxseg.layers.resize import resize_bilinear
from jaxseg.types import Array, Outputs


class DeepLabV3(nn.Module):
    """The networks of Figures 3 and 5; the output stride is the backbone's.

    Departure: image-level features are the mean over the whole map. The released code averages over
    a window as large as the map of a training crop, which is equal for images of that size.
    """

    num_classes: int  # number of classes; in an experiment 0 means that of the data set
    backbone: nn.Module  # of jaxseg.backbones; holds output stride, multi-grid, extra blocks
    aspp: bool = True  # False: the cascade, without dropout
    atrous_rates: tuple[int, ...] = (6, 12, 18)  # stated at output stride 16, scaled to the actual
    image_pooling: bool = True  # ASPP's branch that averages over the whole image
    aspp_features: int = 256  # channels of each branch of ASPP, and of their projection
    aspp_separable: bool = False  # ASPP's 3x3 convolutions are depthwise separable
    extra_convs: int = 0  # 3x3, between ASPP and classifier; one in torchvision and smp
    dropout: float = 0.1  # after ASPP's projection
    aux_features: int = 0  # of torchvision's FCN head on stage 3; 0: no head, as in the paper
    aux_dropout: float = 0.1  # before the classifier of the auxiliary head
    # "align_corners", "half_pixel" or "origin"; see jaxseg/sampling.py
    resize_convention: str = "align_corners"
    norm: Norm = Norm(decay=0.9997)  # the backbone has its own
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], normalised, any H and W.

        Returns:
          "logits" and, with an auxiliary head, "aux_logits", float32 [B, H, W, K];
          "coarse_logits", the logits before upsampling; "features", the backbone's last map;
          "aspp", the input of the classifier.

        Raises:
          ValueError: a rate is not an integer at this output stride; `aux_features` is positive and
            the backbone has no stage 3.
        """
        height, width = images.shape[1:3]
        upsample = functools.partial(
            resize_bilinear,
            size=(height, width),
            convention=self.resize_convention,
            form=self.compute.of("resize"),
        )

        ends = self.backbone(images, train=train)
        x = ends["features"]  # [B, H/16, W/16, 2048]
        outputs = {"features": x}
        if self.aspp:
            x = ASPP(
                self.aspp_features,
                rates_at(self.atrous_rates, self.backbone.output_stride),
                image_pooling=self.image_pooling,
                separable=self.aspp_separable,
                dropout=self.dropout,
                norm=self.norm,
                compute=self.compute,
                name="aspp",
            )(x, train=train)  # [B, H/16, W/16, 256]
            for number in range(1, self.extra_convs + 1):
                x = ConvNorm(
                    self.aspp_features,
                    3,
                    kernel_init=xavier_uniform,
                    norm=self.norm,
                    compute=self.compute,
                    name=f"extra_conv{number}",
                )(x, train=train)
            outputs["aspp"] = x
        scores = classifier(self.num_classes, self.compute, kernel_init=classifier_init)
        x = scores(x)  # [B, H/16, W/16, K]
        outputs |= {"coarse_logits": x, "logits": upsample(x)}  # [B, H, W, K]

        if self.aux_features:
            x = fcn_scores(
                aux_map(ends, self.aux_features, self.backbone),  # [B, H/16, W/16, 1024]
                self.num_classes,
                self.aux_features,
                self.aux_dropout,
                norm=self.norm,
                compute=self.compute,
                train=train,
                prefix="aux_",
                conv_init=xavier_uniform,
                classifier_init=classifier_init,
            )  # [B, H/16, W/16, K]
            outputs["aux_logits"] = upsample(x)  # [B, H, W, K]
        return outputs
