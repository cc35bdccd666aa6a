"""Normalisation over the batch, with frozen statistics, or over groups of channels."""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Float

from jaxseg.types import Array

KINDS = ("batch", "frozen", "group", "none")


@dataclasses.dataclass(unsafe_hash=True)
class Norm:
    """How maps are normalised: a field of models, backbones and layers, handed on as one value.

    Set by flag as --config.model.norm.decay=0.99. Like a linen module, the value is not changed
    once it is part of a network; `dataclasses.replace` makes another.
    """

    kind: str = "batch"  # or "frozen", "group", "none"; see `NormLayer`
    epsilon: float = 1e-5
    decay: float = 0.9  # of the running statistics; torch's momentum is 1 - decay
    groups: int = 32  # of channels, for "group"
    bias_init: float = 0.0  # what each bias starts at

    def with_decay(self, decay: float) -> "Norm":
        """The same with other running averages: shorter ones suit short runs."""
        return dataclasses.replace(self, decay=decay)


CAFFE_NORM = Norm(epsilon=1e-9, bias_init=0.001)  # as SegNet's and DeconvNet's releases have it


class NormLayer(nn.Module):
    """Normalise per channel, then scale and shift; statistics are float32.

    - "batch": Ioffe and Szegedy 2015. In training the mean and variance are those of the whole
      batch: under jit over a mesh that is the global batch, over all devices.
      The running variance follows the biased variance of the batch, as flax's does; torch's and
      TensorFlow's fused kernels follow the unbiased one, n / (n - 1) times larger.
      The variance is E[x^2] - E[x]^2, one pass over the map: in float32 its relative error is about
      1e-7 (mean / deviation)^2, so 1e-5 at a mean of 10 deviations and 20 % at 1000.
      Departure: with a single value per channel (the pooled branch of ASPP with one image) the
      batch has no variance and the normalised value would be 0 for any input, so the running
      statistics are used, and left as they are. torch refuses such a batch.
    - "frozen": running statistics always, never updated; scale and bias still learn.
    - "group": Wu and He 2018, groups of channels.
    - "none": the identity, no parameters.

    Parameters scale and bias [C]; batch_stats mean and var [C].
    """

    norm: Norm = Norm()
    dtype: str = "float32"

    def setup(self):
        """Let flax's layer hold its parameters directly under this module's name."""
        norm, dtype = self.norm, jnp.dtype(self.dtype)
        if norm.kind not in KINDS:
            raise ValueError(f"norm.kind is {norm.kind!r}: it must be one of {', '.join(KINDS)}")
        start = nn.initializers.constant(norm.bias_init)
        if norm.kind in ("batch", "frozen"):
            self.batch = nn.BatchNorm(
                momentum=norm.decay, epsilon=norm.epsilon, dtype=dtype, bias_init=start
            )
            nn.share_scope(self, self.batch)
        elif norm.kind == "group":
            self.group = nn.GroupNorm(
                num_groups=norm.groups, epsilon=norm.epsilon, dtype=dtype, bias_init=start
            )
            nn.share_scope(self, self.group)

    def __call__(self, x: Float[Array, "*n c"], *, train: bool) -> Float[Array, "*n c"]:
        """The map normalised, in `dtype`."""
        kind, groups = self.norm.kind, self.norm.groups
        if kind == "none":
            return x.astype(self.dtype)
        if kind == "group":
            if groups < 1 or x.shape[-1] % groups:
                raise ValueError(
                    f"norm.kind is 'group': norm.groups={groups} does not divide {x.shape[-1]} "
                    "channels; make the network wider, or take another norm"
                )
            return self.group(x)
        one_value = x.size == x.shape[-1]
        return self.batch(x, use_running_average=kind == "frozen" or not train or one_value)
