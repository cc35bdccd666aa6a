"""Normalisation over the batch, with frozen statistics, or over groups of channels."""

import flax.linen as nn
import jax.numpy as jnp

from jaxseg.types import Array

KINDS = ("batch", "frozen", "group", "none")


class Norm(nn.Module):
    """Normalise [..., C] per channel, then scale and shift; statistics are float32.

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
    - "group": Wu and He 2018, `groups` groups of channels.
    - "none": the identity, no parameters.

    Parameters scale and bias [C]; batch_stats mean and var [C].
    """

    kind: str = "batch"
    epsilon: float = 1e-5
    decay: float = 0.9  # of the running statistics; torch's momentum is 1 - decay
    groups: int = 32
    dtype: str = "float32"
    bias_init: float = 0.0  # what each bias starts at; 0.001 in SegNet and DeconvNet

    def setup(self):
        """Let flax's layer hold its parameters directly under this module's name."""
        if self.kind not in KINDS:
            raise ValueError(f"norm is {self.kind!r}: it must be one of {', '.join(KINDS)}")
        dtype = jnp.dtype(self.dtype)
        start = nn.initializers.constant(self.bias_init)
        if self.kind in ("batch", "frozen"):
            self.batch = nn.BatchNorm(
                momentum=self.decay, epsilon=self.epsilon, dtype=dtype, bias_init=start
            )
            nn.share_scope(self, self.batch)
        elif self.kind == "group":
            self.group = nn.GroupNorm(
                num_groups=self.groups, epsilon=self.epsilon, dtype=dtype, bias_init=start
            )
            nn.share_scope(self, self.group)

    def __call__(self, x: Array, *, train: bool) -> Array:
        """[..., C] -> [..., C] in `dtype`."""
        if self.kind == "none":
            return x.astype(self.dtype)
        if self.kind == "group":
            if self.groups < 1 or x.shape[-1] % self.groups:
                raise ValueError(
                    f"norm is 'group': {self.groups} groups do not divide {x.shape[-1]} channels; "
                    "make the network wider, or take another norm"
                )
            return self.group(x)
        one_value = x.size == x.shape[-1]
        return self.batch(x, use_running_average=self.kind == "frozen" or not train or one_value)
