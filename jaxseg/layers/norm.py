"""Normalisation over the batch, with frozen statistics, or over groups of channels."""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Bool, Float

from jaxseg.types import Array

KINDS = ("batch", "frozen", "group", "none")


@dataclasses.dataclass(unsafe_hash=True)
class Norm:
    """The normalisation of a model, which passes it to its backbone and layers as one value.

    A flag sets one field, as in --config.model.norm.decay=0.99. Like a linen module, the value must
    not be changed once it is part of a network; `dataclasses.replace` makes a modified copy.
    """

    kind: str = "batch"  # or "frozen", "group", "none"; see `NormLayer`
    epsilon: float = 1e-5  # added to the variance
    decay: float = 0.9  # of the running statistics; torch's momentum is 1 - decay
    groups: int = 32  # number of channel groups, for "group"
    bias_init: float = 0.0  # the initial value of each bias

    def with_decay(self, decay: float) -> "Norm":
        """Returns a copy with another decay; a smaller one suits short runs."""
        return dataclasses.replace(self, decay=decay)


CAFFE_NORM = Norm(epsilon=1e-9, bias_init=0.001)  # as in the releases of SegNet and DeconvNet


class NormLayer(nn.Module):
    """Normalises each channel, then scales and shifts it; statistics are float32.

    - "batch": batch normalisation (Ioffe and Szegedy, 2015). In training the mean and variance are
      those of the whole batch; under jit over a mesh that is the global batch, over all devices.
      The running variance follows the biased variance of the batch, as in Flax; PyTorch and the
      fused kernels of TensorFlow use the unbiased one, which is n / (n - 1) times larger.
      The variance is E[x^2] - E[x]^2, in one pass over the map: in float32 its relative error is
      about 1e-7 (mean / deviation)^2, so 1e-5 at a mean of 10 deviations and 20 % at 1000.
      Departure: with a single value per channel (the pooled branch of ASPP with one image) the
      batch has no variance and the normalised value would be 0 for any input, so the running
      statistics are used, and not updated. PyTorch refuses such a batch.
    - "frozen": always uses the running statistics and never updates them; scale and bias are still
      learned.
    - "group": group normalisation (Wu and He, 2018).
    - "none": the identity, without parameters.

    The parameters are scale and bias [C], the batch statistics mean and var [C].
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

    def __call__(
        self,
        x: Float[Array, "*n c"],
        *,
        train: bool,
        counted: Bool[Array, " b"] | None = None,
    ) -> Float[Array, "*n c"]:
        """Returns the normalised map in `dtype`.

        Args:
          x: the map, or RoIs.
          train: whether statistics of the batch are taken, of kind "batch".
          counted: which images or RoIs, the first axis, have a part in them; None: all. Of none,
            all have.
        """
        kind, groups = self.norm.kind, self.norm.groups
        if kind == "none":
            return x.astype(self.dtype)
        if kind == "group":
            if groups < 1 or x.shape[-1] % groups:
                raise ValueError(
                    f"norm.kind is 'group': norm.groups={groups} does not divide {x.shape[-1]} "
                    "channels; make the network wider, or choose another norm"
                )
            return self.group(x)
        one_value = x.size == x.shape[-1]
        mask = None
        if counted is not None:
            counted |= ~jnp.any(counted)
            mask = counted.reshape(-1, *(1,) * (x.ndim - 1))
        running = kind == "frozen" or not train or one_value
        return self.batch(x, use_running_average=running, mask=mask)
