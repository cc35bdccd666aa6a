"""SegNet: "A deep convolutional encoder-decoder architecture" (Badrinarayanan et al., 2017).

The convolutions of VGG-16 and a decoder that mirrors them: each pooling stores the positions of its
maxima, and the decoder unpools its values to them (arXiv 1511.00561, section 3, Figure 2):

    SegNet(11)                        # the released network: 29,449,355 parameters
    SegNet(11, dropout=0.5)           # Bayesian SegNet, without its mean over samples
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
    """Figure 2, as in the released segnet_train.prototxt.

    Decoder layers have the names of the prototxt. The encoder is named "backbone", so that weights
    of VGG-16 can be loaded; all kernels are initialised from He et al.'s normal distribution.

    Departure: batch statistics are running averages; the release computes them in an extra pass
    over the training set after training.
    """

    num_classes: int  # number of classes; in an experiment 0 means that of the data set
    depth: int = 16  # of the VGG
    width: int = 64  # features of stage 1
    upsampling: str = "max_unpooling"  # or another kind of `layers/upsample.py`
    use_bias: bool = True  # of convolutions; False gives the counts of the paper's text
    decoder_relu: bool = True  # as released; the paper's text, on SegNet-Basic, has no ReLU
    # For Bayesian SegNet: after poolings 3, 4 and 5, and after stages 5, 4 and 3 of the decoder.
    dropout: float = 0.0
    norm: Norm = CAFFE_NORM
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], any H and W.

        The release takes raw values of 0..255, without subtracting a mean.

        Returns:
          "logits", float32 [B, H, W, K]; "features" [B, H, W, 64], the input of the classifier.

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
                    break  # conv1_1_D is the classifier
                source = max(1, stage - 1) if unit == 1 else stage  # gives the output width
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
        """Applies a 3x3 convolution of the decoder, its norm and, if `decoder_relu`, ReLU."""
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
