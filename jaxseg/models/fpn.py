"""FPN: "Feature pyramid networks for object detection" (Lin et al., arXiv 1612.03144): proposals.

Proposals of boxes by an RPN (section 4.1, Table 1) and of segments (section 6, Table 6). With the
heads of Fast R-CNN the pyramid is in `faster_rcnn.py` (Tables 2 and 3).

    BoxProposals(fpn_backbone())                                     # Table 1 c
    BoxProposals(fpn_backbone(), neck=FPN(top_down=False))           # d; lateral=False: e
    BoxProposals(fpn_backbone(), neck=FPN(finest_only=True))         # f
    BoxProposals(c4_backbone(), C4, neck=None)                       # a; C5 of fpn_backbone(): b
    SegmentProposals(fpn_backbone(), half_octaves=False)             # Table 6: 5 x 5, or window=7
    SegmentProposals(fpn_backbone(), mask_size=28)                   # 5 x 5 and 7 x 7, 28 x 28
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxseg.backbones.resnet import UNITS, ResNet
from jaxseg.layers.compute import Compute
from jaxseg.layers.conv import he_normal_fan_in
from jaxseg.layers.fpn import FPN, Level
from jaxseg.layers.matching import NEGATIVE, POSITIVE, sample
from jaxseg.layers.norm import Norm
from jaxseg.layers.rpn import RPN, Proposals, RegionProposalNetwork, SharedConv
from jaxseg.models.faster_rcnn import FROZEN, pyramid, whole_canvas
from jaxseg.types import Array, Instances, Objects

HALF_OCTAVES = 7  # side of the windows for scales half-way between two levels


def fpn_backbone(depth: int = 50, norm: Norm = FROZEN) -> ResNet:
    """C2 .. C5 at strides 4 to 32."""
    return ResNet(depth, output_stride=32, norm=norm)


def c4_backbone(depth: int = 50, norm: Norm = FROZEN) -> ResNet:
    """C4 at stride 16."""
    return ResNet(depth, UNITS[depth][:3], norm=norm)


class BoxProposals(nn.Module):
    """An RPN by itself, as Table 1 compares them."""

    task: ClassVar[str] = "instance"
    proposals: ClassVar[bool] = True  # judged by their recall, whatever the class
    backbone: nn.Module  # a ResNet
    levels: tuple[str, ...] = ("stage1", "stage2", "stage3", "stage4")  # from fine to coarse
    neck: nn.Module | None = FPN()  # or None: a single level
    rpn: RPN = RPN()
    compute: Compute = Compute()

    @nn.compact
    def __call__(
        self,
        images: Array,
        *,
        train: bool,
        sizes: Array | None = None,
        objects: Objects | None = None,
    ) -> Instances:
        """Proposes boxes of things in images [B, H, W, 3]; arguments as of `FasterRCNN`.

        Returns:
          Without objects "boxes" [B, D, 4] by descending "scores", "classes", all 1, "valid" and
          "finite". With them "rpn_logits", "rpn_deltas", "rpn_draws", "anchors", "sizes".
        """
        sizes = whole_canvas(images) if sizes is None else sizes
        levels, _ = pyramid(self, images, train=train)
        network = RegionProposalNetwork(self.rpn, self.compute, name="rpn")
        found: Proposals = network(levels, sizes, train=train)
        if objects is not None:
            draws = jax.random.uniform(self.make_rng("sampling"), found.logits.shape)
            return found.outputs(draws) | {"sizes": sizes}
        return {
            "boxes": found.boxes,
            "scores": jax.nn.sigmoid(found.scores),
            "classes": found.valid.astype(jnp.int32),
            "valid": found.valid,
            "finite": jnp.isfinite(found.logits).all(1) & jnp.isfinite(found.deltas).all((1, 2)),
        }


class _Grid(NamedTuple):
    """The windows [W] of all networks and levels, of constants."""

    centres: np.ndarray  # [W, 2], x and y in pixels of the canvas
    sides: np.ndarray  # [W], of the region that a window's mask covers
    kinds: np.ndarray  # int [W]: half octaves above the smallest scale
    reach: np.ndarray  # [W], how far off an object's centre may be

    def regions(self, index: Array) -> Array:
        """Of windows [...]: boxes [..., 4], which may pass the border of the canvas."""
        centre = jnp.asarray(self.centres)[index]
        half = jnp.asarray(self.sides)[index][..., None] / 2
        return jnp.concatenate([centre - half, centre + half], axis=-1)


class SegmentProposals(nn.Module):
    """A small network slides over each level and gives a score and a mask of every window.

    As the appendix of the paper has it: a mask's scale, the longer side of its box, is that of a
    level (32 at P2, twice that at each further one) or, with `half_octaves`, of the point half-way
    to the next, which a network with windows of 7 x 7 is for. The mask covers a region that is
    larger by `padding`. A window is positive if an object of its scale has its centre within the
    window's stride. No suppression follows: the best windows are the proposals.
    """

    task: ClassVar[str] = "instance"
    proposals: ClassVar[bool] = True  # judged by their recall, whatever the class
    backbone: nn.Module  # a ResNet
    levels: tuple[str, ...] = ("stage1", "stage2", "stage3", "stage4")  # from fine to coarse
    neck: nn.Module | None = FPN(features=128)
    window: int = 5  # side of the windows at a level's own scale
    half_octaves: bool = True  # windows of 7 x 7 beside them
    finest_scale: float = 32.0  # pixels, of the first level
    padding: float = 0.25  # of the scale, in the region that a mask covers
    features: int = 512  # of a window
    mask_size: int = 14  # side of the masks in pixels; or 28
    samples: int = 128  # windows of an image to train on
    positive_fraction: float = 0.25  # of these at most
    count: int = 1000  # proposals
    compute: Compute = Compute()

    @nn.compact
    def __call__(
        self,
        images: Array,
        *,
        train: bool,
        sizes: Array | None = None,
        objects: Objects | None = None,
    ) -> Instances:
        """Proposes segments in images [B, H, W, 3]; arguments as of `FasterRCNN`.

        Returns:
          Without objects "boxes" [B, D, 4], the regions that "mask_logits" [B, D, M, M] cover, by
          descending "scores", "classes", all 1, "valid", "finite". With them, of sampled windows,
          "window_logits" [B, N], "rois", "roi_classes", "roi_matched", "roi_valid"; of the first
          ones, which all positives are among, "mask_logits" [B, P, M, M, 1]; "sizes".

        Raises:
          ValueError: `window` is the one of `half_octaves`.
        """
        sizes = whole_canvas(images) if sizes is None else sizes
        levels, _ = pyramid(self, images, train=train)
        networks = self._networks()
        hidden, logits = [], []
        for size in networks:
            layer = SharedConv(
                self.features, size, he_normal_fan_in, self.compute, name=f"window{size}"
            )
            score = nn.Dense(1, dtype=self.compute.float32.dtype, name=f"score{size}")
            for level in levels:
                x = nn.relu(layer(level.values, level.rate))  # [B, h, w, 512]
                x = x.reshape(len(x), -1, self.features)
                hidden.append(x)
                logits.append(score(x.astype(score.dtype))[..., 0])
        scores, grid = jnp.concatenate(logits, axis=1), self._grid(levels, len(networks))
        if objects is not None:
            return self._training(hidden, scores, grid, objects, sizes)
        x, y = jnp.asarray(grid.centres.T)
        inside = (y < sizes[:, :1]) & (x < sizes[:, 1:])  # [B, W]
        best, index = lax.top_k(
            jnp.where(inside, scores, -jnp.inf), min(self.count, scores.shape[1])
        )
        valid = best > -jnp.inf
        return {
            "boxes": jnp.where(valid[..., None], grid.regions(index), 0),
            "scores": jnp.where(valid, jax.nn.sigmoid(best), 0),
            "classes": valid.astype(jnp.int32),
            "valid": valid,
            "finite": jnp.isfinite(scores).all(1),
            "mask_logits": self._masks(hidden, index),
        }

    def _networks(self) -> tuple[int, ...]:
        """The side of the windows of each network."""
        if self.half_octaves and self.window == HALF_OCTAVES:
            raise ValueError(
                f"window is {self.window}, which half_octaves are for: set --config.model.window=5"
            )
        return (self.window, HALF_OCTAVES) if self.half_octaves else (self.window,)

    def _grid(self, levels: Sequence[Level], networks: int) -> _Grid:
        centres, sides, kinds, reach = [], [], [], []
        for network in range(networks):
            for number, level in enumerate(levels):
                height, width = level.values.shape[1:3]
                y, x = np.mgrid[:height, :width] * level.stride
                centres.append(np.stack([x.ravel(), y.ravel()], axis=1))
                scale = self.finest_scale * 2 ** (number + network / 2)
                sides.append(np.full(x.size, (1 + self.padding) * scale))
                kinds.append(np.full(x.size, 2 * number + network))
                reach.append(np.full(x.size, level.nominal))
        joined = (np.concatenate(parts) for parts in (centres, sides, kinds, reach))
        centre, side, kind, far = joined
        return _Grid(
            centre.astype(np.float32), side.astype(np.float32), kind, far.astype(np.float32)
        )

    def _masks(self, hidden: Sequence[Array], index: Array) -> Array:
        """Logits [B, N, M, M] of the windows `index`; each network has a layer of its own."""
        starts = np.cumsum([0, *(x.shape[1] for x in hidden)])
        per_network = len(hidden) // len(self._networks())
        dtype, side = self.compute.float32.dtype, self.mask_size
        masks = jnp.zeros((*index.shape, side * side), dtype)
        for first, size in zip(range(0, len(hidden), per_network), self._networks(), strict=True):
            own = jnp.zeros((*index.shape, self.features), hidden[0].dtype)
            for number in range(first, first + per_network):
                place = index - starts[number]
                here = (place >= 0) & (place < hidden[number].shape[1])
                place = jnp.where(here, place, 0)
                found = jnp.take_along_axis(hidden[number], place[..., None], axis=1)
                own = jnp.where(here[..., None], found, own)
            layer = nn.Dense(side * side, dtype=dtype, name=f"mask{size}")
            here = (index >= starts[first]) & (index < starts[first + per_network])
            masks = jnp.where(here[..., None], layer(own.astype(dtype)), masks)
        return masks.reshape(*index.shape, side, side)

    def _matches(self, grid: _Grid, boxes: Array, valid: Array) -> tuple[Array, Array]:
        """For each window of one image the object [W], and POSITIVE or NEGATIVE [W]."""
        longer = jnp.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        octave = jnp.log2(jnp.where(longer > 0, longer, 1) / self.finest_scale)
        most = int(grid.kinds.max())
        steps = 1 if self.half_octaves else 2  # between two kinds
        kind = steps * jnp.clip(jnp.round(2 * octave / steps), 0, most // steps).astype(jnp.int32)
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        away = jnp.max(jnp.abs(jnp.asarray(grid.centres)[:, None] - centre), axis=-1)  # [W, G]
        own = (jnp.asarray(grid.kinds)[:, None] == kind) & valid
        away = jnp.where(own & (away < jnp.asarray(grid.reach)[:, None]), away, jnp.inf)
        nearest = jnp.argmin(away, axis=1)
        positive = jnp.min(away, axis=1) < jnp.inf
        return nearest, jnp.where(positive, POSITIVE, NEGATIVE)

    def _training(
        self, hidden: Sequence[Array], scores: Array, grid: _Grid, objects: Objects, sizes: Array
    ) -> dict[str, Array]:
        draws = jax.random.uniform(self.make_rng("sampling"), scores.shape)

        def of_image(boxes: Array, valid: Array, draws: Array) -> dict[str, Array]:
            nearest, kinds = self._matches(grid, boxes, valid)
            chosen = sample(kinds, draws, self.samples, self.positive_fraction)
            return {
                "index": chosen.indices,
                "roi_classes": chosen.positive.astype(jnp.int32),
                "roi_matched": jnp.where(chosen.positive, nearest[chosen.indices], 0),
                "roi_valid": chosen.valid,
            }

        boxes = jnp.asarray(objects.boxes, scores.dtype)
        outputs = jax.vmap(of_image)(boxes, jnp.asarray(objects.valid), draws)
        index = outputs.pop("index")
        positives = int(self.samples * self.positive_fraction)
        return outputs | {
            "rois": grid.regions(index),
            "window_logits": jnp.take_along_axis(scores, index, axis=1),
            "mask_logits": self._masks(hidden, index[:, :positives])[..., None],
            "sizes": sizes,
        }
