"""SegNet: "A deep convolutional encoder-decoder architecture" (Badrinarayanan et al., 2017).

VGG-16's convolutions, and a decoder that mirrors them: each pooling keeps where its maxima lay, and
the decoder puts its values back there (arXiv 1511.00561, section 3, Figure 2):

    SegNet(11)                        # the released network: 29,449,355 parameters
    SegNet(11, dropout=0.5)           # Bayesian SegNet's; its mean over samples is not built
    SegNet(11, upsampling="bilinear")

SegNet-Basic and the decoders of Table 1 are in `segnet_basic.py`.
"""

import flax.linen as nn

from jaxseg.backbones.vgg import CHANNELS, UNITS, VGG
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import Conv, he_normal_fan_in
from jaxseg.layers.norm import CAFFE_NORM, Norm, NormLayer
from jaxseg.layers.upsample import Upsample
from jaxseg.types import Array, Outputs


class SegNet(nn.Module):
    """Figure 2, as the released segnet_train.prototxt has it.

    Decoder layers bear the prototxt's names. The encoder stands under "backbone", for weights of
    VGG-16; they and all others start from He et al.'s normal.

    Departure: running averages of the batch statistics, not those of one more pass over the
    training set after it, as the release computes them.
    """

    num_classes: int  # classes that are scored; in an experiment 0 stands for those of the data set
    depth: int = 16  # of the VGG
    width: int = 64  # features of stage 1
    upsampling: str = "max_unpooling"  # or another kind of `layers/upsample.py`
    use_bias: bool = True  # of convolutions; without, the counts of the paper's text
    decoder_relu: bool = True  # in the release; the paper's text has none, on SegNet-Basic
    # Bayesian SegNet: after the poolings 3, 4, 5, and after the decoder's stages 5, 4, 3.
    dropout: float = 0.0
    norm: Norm = CAFFE_NORM
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], any H and W.

        The release takes values of 0..255 as they are, without a mean.

        Returns:
          "logits" float32 [B, H, W, K]; "features" [B, H, W, 64], what is classified.

        Raises:
          ValueError: `depth` or `upsampling` is unknown.
        """
        encoder = VGG(
            self.depth,
            width=self.width,
            places=self.upsampling == "max_unpooling",
            use_bias=self.use_bias,
            dropout=self.dropout,
            norm=self.norm,
            compute=self.compute,
            name="backbone",
        )
        ends = encoder(images, train=train)
        x = ends["features"]  # [B, H/32, W/32, 512]
        for stage in range(len(CHANNELS), 0, -1):
            upsample = Upsample(self.upsampling, compute=self.compute, name=f"upsample{stage}")
            x = upsample(x, ends[f"conv{stage}"].shape[1:3], ends.get(f"places{stage}"))
            for unit in range(UNITS[self.depth][stage - 1], 0, -1):
                if (stage, unit) == (1, 1):
                    break  # the classifier stands for conv1_1_D
                source = max(1, stage - 1) if unit == 1 else stage  # whose width comes out
                features = self.width * CHANNELS[source - 1]
                x = self._layer(x, features, f"{stage}_{unit}_D", train=train)  # [B, H/s, W/s, C]
            if stage >= 3:
                x = nn.Dropout(self.dropout, deterministic=not train)(x)
        classifier = Conv(
            self.num_classes,
            3,
            use_bias=self.use_bias,
            kernel_init=he_normal_fan_in,
            compute=self.compute.float32,
            name="classifier",
        )
        return {"logits": classifier(x), "features": x}  # [B, H, W, K], [B, H, W, 64]

    def _layer(self, x: Array, features: int, name: str, *, train: bool) -> Array:
        """A 3x3 convolution of the decoder, its norm, and ReLU."""
        x = Conv(
            features,
            3,
            use_bias=self.use_bias,
            kernel_init=he_normal_fan_in,
            compute=self.compute,
            name=f"conv{name}",
        )(x)
        x = NormLayer(self.norm, self.compute.dtype, name=f"norm{name}")(x, train=train)
        return nn.relu(x) if self.decoder_relu else x
