"""Greedy suppression, a block of boxes at a time.

Box j is kept iff it is valid and no kept box before it overlaps it. That has one solution, by
induction over j, so whatever solves it is greedy suppression. Here a block meets the kept boxes of
all blocks before it in matrices of overlaps; then it is repeated within the block, from all boxes,
until nothing changes: two to eight times for a detector's proposals.
"""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jax import lax

from jaxseg.types import Array

# Boxes that are compared with as many others at once. 64 to 256 differ by a tenth on a CPU, where
# boxes that meet only later ones are left out; an accelerator is better off with one large matrix.
_CPU_BLOCK, _ACCELERATOR_BLOCK = 128, 2048

Overlap = Callable[[Mapping[str, Array], Mapping[str, Array]], Array]  # [n], [m] -> bool [n, m]


def greedy_keep(boxes: Mapping[str, Array], valid: Array, overlap: Overlap) -> Array:
    """Which boxes are kept: bool [N].

    Args:
      boxes: arrays [N, ...] of what `overlap` looks at, best box first.
      valid: bool [N].
      overlap: whether each of some boxes removes each of others.
    """

    def with_blocks_of(size: int) -> Callable[..., Array]:
        return functools.partial(_by_blocks, overlap=overlap, size=min(size, valid.size))

    return lax.platform_dependent(
        dict(boxes),
        valid,
        cpu=with_blocks_of(_CPU_BLOCK),
        default=with_blocks_of(_ACCELERATOR_BLOCK),
    )


def _by_blocks(boxes: dict[str, Array], valid: Array, *, overlap: Overlap, size: int) -> Array:
    count = valid.size
    blocks = -(-count // size)

    def padded(x: Array) -> Array:
        return jnp.pad(x, [(0, blocks * size - count), *[(0, 0)] * (x.ndim - 1)])

    boxes, valid = jax.tree.map(padded, (boxes, valid))
    before = jnp.arange(size)[:, None] < jnp.arange(size)

    def block(i: Array, x: Array) -> Array:
        return lax.dynamic_slice_in_dim(x, i * size, size)

    def one(i: Array, keep: Array) -> Array:
        these = {name: block(i, x) for name, x in boxes.items()}

        def meet(j: Array, free: Array) -> Array:
            those = {name: block(j, x) for name, x in boxes.items()}
            return free & ~(overlap(those, these) & block(j, keep)[:, None]).any(0)

        free = lax.fori_loop(0, i, meet, block(i, valid))
        return lax.dynamic_update_slice_in_dim(
            keep, _fixed_point(overlap(these, these) & before, free), i * size, 0
        )

    return lax.fori_loop(0, blocks, one, jnp.zeros_like(valid))[:count]


def _fixed_point(removes: Array, free: Array) -> Array:
    """keep = free and not removed by any of keep; removes bool [n, n], above the diagonal."""

    def again(state: tuple[Array, Array]) -> tuple[Array, Array]:
        keep, _ = state
        after = free & ~(removes & keep[:, None]).any(0)
        return after, (after != keep).any()

    return lax.while_loop(lambda state: state[1], again, (free, jnp.bool(True)))[0]
