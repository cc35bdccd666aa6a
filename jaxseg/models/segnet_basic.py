"""SegNet-Basic, and the decoders on its encoder that Table 1 of SegNet's paper compares.

The encoder has four stages of one 7x7 convolution each (Badrinarayanan et al., arXiv 1511.00561,
section 3.1 and Figure 3). The rows of the table, whose networks have no biases, for CamVid's 11
classes:

    Bilinear-Interpolation                   bilinear_interpolation(11)
    SegNet-Basic                             SegNetBasic(11, use_bias=False)
    SegNet-Basic-EncoderAddition             SegNetBasic(11, use_bias=False, encoder_addition=True)
    SegNet-Basic-SingleChannelDecoder        SegNetBasic(11, use_bias=False, decoder="depthwise")
    FCN-Basic                                fcn_basic(11)
    FCN-Basic-NoAddition                     fcn_basic(11, encoder_addition=False)
    FCN-Basic-NoDimReduction                 fcn_basic(11, reduce=False)
    FCN-Basic-NoAddition-NoDimReduction      fcn_basic(11, encoder_addition=False, reduce=False)

`SegNetBasic(11)` is the released network. The other kinds of upsampling that the section mentions,
replication and fixed indices, are `upsampling="nearest"` and "bed_of_nails".

Unsure: the counts here equal the table's to the nearest 25 thousand parameters (1,416,064 is given
as 1.425 M), except for the two rows without dimensionality reduction: 1.661 M here, 1.625 M there.
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
    """The encoder with one of the decoders; by default the released segnet_basic_train.prototxt.

    The layers have the names of the prototxt. The decoder has no ReLU.

    Departure: batch statistics are running averages, as in `SegNet`.
    """

    num_classes: int  # number of classes; in an experiment 0 means that of the data set
    width: int = 64  # channels of each convolution
    stages: int = 4  # number of poolings, and of upsamplings
    kernel_size: int = 7  # of each convolution
    # LRN over 5 channels. It has an effect only on values of 0..255; the paper's text has local
    # contrast normalisation instead.
    input_norm: bool = True
    upsampling: str = "max_unpooling"  # or another kind of `layers/upsample.py`
    upsampling_kernel: int = 0  # of transposed convolutions; 0: FCN's 4; 8 in Table 1
    decoder: str = "conv"  # after each upsampling; or "depthwise" (single-channel), "none"
    encoder_addition: bool = False  # add each pooled map to the decoder's map of the same size
    reduce: bool = False  # the encoder's maps to K channels, by 1x1 convolutions
    use_bias: bool = True  # of convolutions before a norm
    dropout: float = 0.0  # in the two deepest stages of encoder and decoder: Bayesian SegNet-Basic
    norm: Norm = CAFFE_NORM
    compute: Compute = Compute()  # of features; reduced maps are float32, like logits

    @nn.compact
    def __call__(self, images: Array, *, train: bool) -> Outputs:
        """Classifies each pixel of images [B, H, W, 3], any H and W.

        Returns:
          "logits", float32 [B, H, W, K]; "features", the input of the classifier [B, H, W, 64],
          or with `reduce` the encoder's last map [B, H/16, W/16, 64].

        Raises:
          ValueError: `upsampling` or `decoder` is unknown, or incompatible with `reduce`.
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
        """Applies the decoder's filters, which keep the shape [B, H, W, C]."""
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
                f"reduce leaves {self.num_classes} channels, which have no pooling indices and no "
                "decoder filters: use another upsampling, and decoder='none'"
            )


def fcn_basic(
    num_classes: int, *, encoder_addition: bool = True, reduce: bool = True
) -> SegNetBasic:
    """FCN-Basic and its variants: upsampling by learned 8 x 8 transposed convolutions alone.

    They are initialised to bilinear interpolation; the paper also mentions fixed ones
    (`upsampling="transposed_fixed"`).

    Departure: at stride 2, bilinear kernels of 8 taps would quadruple the values at each of four
    steps; here the taps of each output sum to 1. Unsure: whether a norm follows them; here none
    does.
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

    Unsure: whether the paper classifies before upsampling. Only the cost differs, since a 1x1
    convolution and interpolation commute.
    """
    return SegNetBasic(
        num_classes, upsampling="bilinear", decoder="none", reduce=True, use_bias=False
    )
