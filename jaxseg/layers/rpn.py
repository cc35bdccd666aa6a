"""The region proposal network (Ren et al., arXiv 1506.01497, section 3.1; FPN, section 4.1)."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Num

from jaxseg.layers.boxes import anchors, clip, decode, large_enough
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import Conv, conv
from jaxseg.layers.fpn import Level
from jaxseg.layers.nms import nms
from jaxseg.types import Array

_INIT = nn.initializers.normal(0.01)


@dataclasses.dataclass(unsafe_hash=True)
class RPN:
    """Anchors and how proposals are chosen; the defaults are FPN's in torchvision."""

    sizes: tuple[int, ...] = (32, 64, 128, 256, 512)  # one a level; all on a single map
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height / width
    convs: int = 1  # 3x3 before the two 1x1
    before_nms: tuple[int, int] = (2000, 1000)  # of a level, in training and else
    after_nms: tuple[int, int] = (2000, 1000)  # of an image, likewise
    nms_threshold: float = 0.7  # IoU above which the better proposal of a level removes another
    least_side: float = 1e-3  # pixels; narrower proposals are dropped
    rounded: bool = True  # anchors to pixels, as torchvision's


class Proposals(NamedTuple):
    """Proposals of each image by descending score, and the network's raw outputs."""

    boxes: Array  # [B, P, 4]
    scores: Array  # logits [B, P], minus infinity where there is none
    valid: Array  # [B, P]
    logits: Array  # [B, A]
    deltas: Array  # [B, A, 4]
    anchors: np.ndarray  # [A, 4]

    def outputs(self, draws: Array) -> dict[str, Array]:
        """As `losses.detection` takes them, with draws [B, A] for the sample of anchors."""
        return {
            "anchors": jnp.asarray(self.anchors),
            "rpn_logits": self.logits,
            "rpn_deltas": self.deltas,
            "rpn_draws": draws,
        }


def anchors_of(levels: Sequence[Level], rpn: RPN) -> list[np.ndarray]:
    """The anchors [h * w * R, 4] of each level, at its actual stride.

    Departure: torchvision divides the canvas by the map's size and rounds down, which is the stride
    where that divides the canvas: take multiples of 64 to have the same anchors.

    Raises:
      ValueError: there are several levels, and another number of sizes.
    """
    if len(levels) > 1 and len(levels) != len(rpn.sizes):
        raise ValueError(
            f"rpn.sizes is {rpn.sizes}: of {len(levels)} levels each takes one, a single map all"
        )
    sizes = [(size,) for size in rpn.sizes] if len(levels) > 1 else [rpn.sizes]
    return [
        anchors(level.values.shape[1:3], level.stride, own, rpn.ratios, rounded=rpn.rounded)
        for level, own in zip(levels, sizes, strict=True)
    ]


class SharedConv(nn.Module):
    """A convolution with a bias that all levels share, each at its own rate."""

    features: int
    kernel_size: int = 3
    kernel_init: nn.initializers.Initializer = _INIT
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], rate: int) -> Float[Array, "b h w f"]:
        """[B, h, w, C] -> [B, h, w, features]."""
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
        dtype = self.compute.dtype
        form = self.compute.of("dense")
        y = conv(x.astype(dtype), kernel.astype(dtype), rate=rate, form=form)
        return y + bias.astype(dtype)


class RegionProposalNetwork(nn.Module):
    """Scores and boxes for each anchor of each level by one small network, and the best of them.

    Scores and deltas are float32 at least. A level made atrous has its 3x3 convolutions at the
    rate of the law, so the scores at output stride 8, sub-sampled, are those at 16.
    """

    rpn: RPN = RPN()
    compute: Compute = Compute()

    @nn.compact
    def __call__(
        self, levels: Sequence[Level], sizes: Num[Array, "b 2"], *, train: bool
    ) -> Proposals:
        """Proposals in images of (height, width) `sizes` within the canvas.

        Raises:
          ValueError: `rpn.sizes` does not fit the number of levels.
        """
        own = anchors_of(levels, self.rpn)
        _, height, width, channels = levels[0].values.shape
        kinds = len(own[0]) // (height * width)
        raw = self.compute.float32
        score = Conv(kinds, 1, use_bias=True, kernel_init=_INIT, compute=raw, name="objectness")
        move = Conv(4 * kinds, 1, use_bias=True, kernel_init=_INIT, compute=raw, name="deltas")
        numbers = range(1, self.rpn.convs + 1)
        hidden = [
            SharedConv(channels, compute=self.compute, name=f"conv{number}") for number in numbers
        ]
        logits, deltas = [], []
        for level in levels:
            x = level.values
            for layer in hidden:
                x = nn.relu(layer(x, level.rate))  # [B, h, w, C]
            logits.append(score(x).reshape(len(x), -1))  # [B, h w R]
            deltas.append(move(x).reshape(len(x), -1, 4))  # [B, h w R, 4]
        scores, moves = jnp.concatenate(logits, axis=1), jnp.concatenate(deltas, axis=1)
        counts, everywhere = [len(a) for a in own], np.concatenate(own)
        found = propose(
            scores, moves, everywhere, counts, sizes, self.rpn, self.compute, train=train
        )
        return Proposals(*found, scores, moves, everywhere)


def propose(
    logits: Float[Array, "b a"],
    deltas: Float[Array, "b a 4"],
    all_anchors: Float[np.ndarray, "a 4"],
    counts: Sequence[int],
    sizes: Num[Array, "b 2"],
    rpn: RPN,
    compute: Compute,
    *,
    train: bool,
) -> tuple[Float[Array, "b p 4"], Float[Array, "b p"], Bool[Array, "b p"]]:
    """The best boxes of each image that do not overlap much, by descending score.

    Of each level the `before_nms` best, clipped to the image, without those of a side below
    `least_side`; suppression within levels; of all levels the `after_nms` best. No gradient passes.

    Args:
      logits: of the anchors of all levels.
      deltas: likewise.
      all_anchors: likewise.
      counts: anchors of each level.
      sizes: (height, width) of the images within the canvas.
      rpn: the numbers.
      compute: for the form of suppression.
      train: which of `before_nms` and `after_nms`.
    """
    before, after = (pair[0] if train else pair[1] for pair in (rpn.before_nms, rpn.after_nms))
    starts = np.cumsum([0, *counts])
    kept = [min(before, count) for count in counts]
    longest, slots = max(kept), min(after, sum(kept))
    suppress = functools.partial(nms, threshold=rpn.nms_threshold, form=compute.of("nms"))

    def of_image(logits: Array, deltas: Array, size: Array) -> tuple[Array, Array, Array]:
        chosen = [
            jnp.pad(lax.top_k(logits[start : start + count], most)[1] + start, (0, longest - most))
            for start, count, most in zip(starts[:-1], counts, kept, strict=True)
        ]
        index = jnp.stack(chosen)  # [levels, longest]
        scores = logits[index]
        boxes = clip(decode(deltas[index], jnp.asarray(all_anchors, deltas.dtype)[index]), size)
        there = large_enough(boxes, rpn.least_side)
        there &= jnp.arange(longest) < jnp.array(kept)[:, None]
        own, left = jax.vmap(suppress)(boxes, scores, there)
        scores = jnp.where(left, jnp.take_along_axis(scores, own, axis=1), -jnp.inf)
        score, best = lax.top_k(scores.reshape(-1), slots)
        boxes = jnp.take_along_axis(boxes, own[..., None], axis=1).reshape(-1, 4)
        valid = left.reshape(-1)[best]
        return jnp.where(valid[:, None], boxes[best], 0), score, valid

    return jax.vmap(of_image)(*lax.stop_gradient((logits, deltas)), sizes)
