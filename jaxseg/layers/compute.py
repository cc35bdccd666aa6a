"""How a network is computed: the dtype of features and the form of each kind of operation."""

import dataclasses

KINDS = ("dense", "depthwise", "transposed", "resize", "pool", "roi", "nms")


@dataclasses.dataclass(unsafe_hash=True)
class Compute:
    """The compute settings of a model, which passes them to its backbone and layers as one value.

    Each operation has a plain form, its definition, and a fast one that gives the same numbers.
    One flag sets the form of all operations, and another overrides it for one kind:

        --config.model.compute.form=plain
        --config.model.compute.form=plain --config.model.compute.depthwise=fast

    Parameters, batch statistics, losses and logits are float32 whatever the dtype. Like a linen
    module, the value must not be changed once it is part of a network; `dataclasses.replace` makes
    a modified copy.
    """

    dtype: str = "float32"  # of features
    form: str = "auto"  # of every kind: "auto" (as measured for the backend), "plain" or "fast"
    dense: str = ""  # of convolutions and matrix products; "", here and below, means `form`
    depthwise: str = ""  # of depthwise convolutions
    transposed: str = ""  # of transposed convolutions, and of those after upsampling by repetition
    resize: str = ""  # of bilinear interpolation
    pool: str = ""  # of max pooling, with or without indices, and of unpooling
    roi: str = ""  # of RoIAlign and RoIWarp
    nms: str = ""  # of non-maximum suppression

    def of(self, kind: str) -> str:
        """Returns the form of a kind of operation, one of KINDS."""
        return getattr(self, kind) or self.form

    @property
    def float32(self) -> "Compute":
        """The same forms in float32, or in float64 if that is the dtype, for layers of logits."""
        wide = "float64" if self.dtype == "float64" else "float32"
        return dataclasses.replace(self, dtype=wide)


PLAIN = Compute(form="plain")  # every operation by its definition
