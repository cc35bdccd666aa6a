"""How a network is computed: the dtype of features and the form of each kind of operation."""

import dataclasses

KINDS = ("dense", "depthwise", "transposed", "resize", "pool")


@dataclasses.dataclass(unsafe_hash=True)
class Compute:
    """A field of models, backbones and layers, handed on as one value.

    Each operation has a plain form, its definition, and a fast one that gives the same numbers.
    One flag chooses for all of them, one more for each kind that differs:

        --config.model.compute.form=plain
        --config.model.compute.form=plain --config.model.compute.depthwise=fast

    Parameters, batch statistics, losses and logits are float32 at any dtype. Like a linen module,
    the value is not changed once it is part of a network; `dataclasses.replace` makes another.
    """

    dtype: str = "float32"  # of features
    form: str = "auto"  # of every kind: "auto" (as measured for the backend), "plain" or "fast"
    dense: str = ""  # of one kind; "": as `form`. Convolutions and matrix products
    depthwise: str = ""  # convolutions of one channel each
    transposed: str = ""  # transposed convolutions, and those of a map upsampled by repetition
    resize: str = ""  # bilinear interpolation
    pool: str = ""  # max pooling, with places or without, and unpooling

    def of(self, kind: str) -> str:
        """The form of one of KINDS."""
        return getattr(self, kind) or self.form

    @property
    def float32(self) -> "Compute":
        """The same forms in float32: of what gives logits."""
        return dataclasses.replace(self, dtype="float32")


PLAIN = Compute(form="plain")  # every operation by its definition
