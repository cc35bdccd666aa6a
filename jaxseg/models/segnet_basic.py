"""SegNet-Basic, and the decoders that Table 1 of SegNet's paper compares on its encoder.

Badrinarayanan et al., arXiv 1511.00561, section 3.1 and Figure 3. Four stages of one 7x7
convolution each. The rows of the table, whose networks have no biases, for CamVid's 11 classes:

    Bilinear-Interpolation                   bilinear_interpolation(11)
    SegNet-Basic                             SegNetBasic(11, use_bias=False)
    SegNet-Basic-EncoderAddition             SegNetBasic(11, use_bias=False, encoder_addition=True)
    SegNet-Basic-SingleChannelDecoder        SegNetBasic(11, use_bias=False, decoder="depthwise")
    FCN-Basic                                fcn_basic(11)
    FCN-Basic-NoAddition                     fcn_basic(11, encoder_addition=False)
    FCN-Basic-NoDimReduction                 fcn_basic(11, reduce=False)
    FCN-Basic-NoAddition-NoDimReduction      fcn_basic(11, encoder_addition=False, reduce=False)

`SegNetBasic(11)` is the released network. The kinds of upsampling that the section mentions besides
(replication, fixed indices) are `upsampling="nearest"` and "bed_of_nails".

Unsure: the table's sizes are those here to the nearest 25 thousand parameters (1,416,064 stands as
1.425 M), but for the two rows without dimensionality reduction: 1.661 M here, 1.625 M there.
"""

import functools

import flax.linen as nn

from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import Conv, DepthwiseConv, he_normal_fan_in
from jaxseg.layers.lrn import local_response_norm
from jaxseg.layers.norm import CAFFE_NORM, Norm, NormLayer
from jaxseg.layers.unpool import max_pool_with_places
from jaxseg.layers.upsample import Upsample
from jaxseg.types import Array, Outputs

DECODERS = ("conv", "depthwise", "none")


class SegNetBasic(nn.Module):
    """The encoder with one of the decoders; the released segnet_basic_train.prototxt by default.

    The layers bear the prototxt's names. There is no ReLU in the decoder.

    Departure: running averages of the batch statistics, as in `SegNet`.
    """

    num_classes: int  # classes that are scored; in an experiment 0 stands for those of the data set
    width: int = 64  # channels of each convolution
    stages: int = 4  # poolings, and as many upsamplings
    kernel_size: int = 7  # of each convolution
    # LRN over 5 channels. It means something on values of 0..255 only; the paper's text has local
    # contrast normalisation in its place.
    input_norm: bool = True
    upsampling: str = "max_unpooling"  # or another kind of `layers/upsample.py`
    upsampling_kernel: int = 0  # of transposed convolutions; 0: FCN's 4; 8 in Table 1
    decoder: str = "conv"  # after each upsampling; "depthwise" (the single channels), "none"
    encoder_addition: bool = False  # each pooled map is added to the decoder's of its size
    reduce: bool = False  # the encoder's maps to K channels, by 1x1 convolutions
    use_bias: bool = True  # of convolutions before a norm
    dropout: float = 0.0  # Bayesian SegNet-Basic: on the two deepest stages, both ways
    norm: Norm = CAFFE_NORM
    compute: Compute = Compute()  # of features; reduced maps are float32, as logits

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], any H and W.

        Returns:
          "logits" float32 [B, H, W, K]; "features", what is classified: [B, H, W, 64], with
          `reduce` the encoder's [B, H/16, W/16, 64].

        Raises:
          ValueError: `upsampling` or `decoder` is unknown, or they do not go together.
        """
        self._check()
        whole = self.compute.float32
        deep = {self.stages, self.stages - 1}  # stages with dropout
        drop = functools.partial(nn.Dropout, self.dropout, deterministic=not train)
        x = local_response_norm(images) if self.input_norm else images
        x = x.astype(self.compute.dtype)
        pooled, places = [x], []
        for stage in range(1, self.stages + 1):
            conv = self._conv(self.width, self.kernel_size, self.compute, f"conv{stage}")
            x = nn.relu(self._norm(f"norm{stage}")(conv(x), train=train))  # [B, H/s, W/s, 64]
            x, its = max_pool_with_places(x, form=self.compute.of("pool"))  # [B, H/2s, W/2s, 64]
            if stage in deep:
                x = drop()(x)
            pooled.append(x)
            places.append(its)

        features = x
        if self.reduce:
            x = self._conv(self.num_classes, 1, whole, f"reduce{self.stages}")(x)
        for stage in range(self.stages, 0, -1):
            x = Upsample(
                self.upsampling,
                kernel_size=self.upsampling_kernel,
                compute=whole if self.reduce else self.compute,
                name=f"upsample{stage}",
            )(x, pooled[stage - 1].shape[1:3], places[stage - 1])  # [B, H/s, W/s, C]
            x = self._densify(x, stage, train=train)
            if stage in deep:
                x = drop()(x)
            if self.encoder_addition and stage > 1:
                skip = pooled[stage - 1]
                if self.reduce:
                    reduce = self._conv(self.num_classes, 1, whole, f"reduce{stage - 1}")
                    skip = reduce(skip)
                x = x + skip
        if self.reduce:
            return {"logits": x, "features": features}  # [B, H, W, K]
        logits = self._conv(self.num_classes, 1, whole, "classifier")(x)
        return {"logits": logits, "features": x}  # [B, H, W, K], [B, H, W, 64]

    def _densify(self, x: Array, stage: int, *, train: bool) -> Array:
        """The decoder's filters, [B, H, W, C] -> the same shape."""
        if self.decoder == "none":
            return x
        name = f"conv_decode{stage}"
        if self.decoder == "conv":
            x = self._conv(x.shape[-1], self.kernel_size, self.compute, name)(x)
        else:
            x = DepthwiseConv(
                self.kernel_size,
                use_bias=self.use_bias,
                compute=self.compute,
                name=name,
            )(x)
        return self._norm(f"norm_decode{stage}")(x, train=train)

    def _conv(self, features: int, size: int, compute: Compute, name: str) -> Conv:
        return Conv(
            features,
            size,
            use_bias=self.use_bias,
            kernel_init=he_normal_fan_in,
            compute=compute,
            name=name,
        )

    def _norm(self, name: str) -> NormLayer:
        return NormLayer(self.norm, self.compute.dtype, name=name)

    def _check(self) -> None:
        if self.decoder not in DECODERS:
            names = ", ".join(DECODERS)
            raise ValueError(f"decoder is {self.decoder!r}: it must be one of {names}")
        if self.reduce and (self.upsampling == "max_unpooling" or self.decoder != "none"):
            raise ValueError(
                f"reduce leaves {self.num_classes} channels, which have no places of maxima and "
                "are upsampled alone: take another upsampling, and decoder='none'"
            )


def fcn_basic(
    num_classes: int, *, encoder_addition: bool = True, reduce: bool = True
) -> SegNetBasic:
    """FCN-Basic and its variants: learned transposed convolutions of 8 x 8, and nothing after them.

    They start as bilinear interpolation, and are learned; the paper also speaks of fixed ones
    (`upsampling="transposed_fixed"`).

    Departure: at stride 2 bilinear kernels of 8 taps would quadruple a map at each of four steps;
    here their taps sum to 1 for each output. Unsure: whether a norm follows them; here none does.
    """
    return SegNetBasic(
        num_classes,
        upsampling="transposed",
        upsampling_kernel=8,
        decoder="none",
        encoder_addition=encoder_addition,
        reduce=reduce,
        use_bias=False,
    )


def bilinear_interpolation(num_classes: int) -> SegNetBasic:
    """Bilinear-Interpolation: the encoder's last map, classified and upsampled four times by 2.

    Unsure: whether the classes come before the upsampling; either way the network is the same but
    for its cost, since a 1x1 convolution and an interpolation commute.
    """
    return SegNetBasic(
        num_classes, upsampling="bilinear", decoder="none", reduce=True, use_bias=False
    )
