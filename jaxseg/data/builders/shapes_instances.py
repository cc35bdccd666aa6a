"""Drawn images for instance segmentation, in which the cause of each difficulty is known.

    python -m jaxseg.data.prepare --name=shapes/instances

The classes are disc, square, triangle, ring and bar. As in `shapes`, colours are random, textures
are noisy, and example i of a split is a pure function of (seed, split, i). A mask is the visible
part of an object, at least 40 % of it. Lengths are in pixels of the default size, 128 x 128.

`train` and `val` mix all of the following. Each other split has a single difficulty:

- overlap: an object covers a part of another one. Their boxes overlap, so that non-maximum
  suppression may remove one of them, and a mask is not the complete shape of its class.
- touching: up to six discs or squares of one class and colour, without background between
  neighbours. A map of classes cannot separate them.
- scale: objects with a radius of 3.5 to 42, a factor of 12; every image has one of at most 4.2 and
  one of at least 36. This is what feature pyramids are for.
- thin: bars 2 to 3 wide and up to 90 long, and rings with walls of 2 to 3. Half a pixel too much,
  or a mask on a coarse grid, costs much of their IoU. The box of a slanted bar is nearly empty.
- crowds: 12 to 24 discs with a radius of 2 to 3.2, annotated as one crowd, besides two objects.
  Detections in a crowd are not errors, and training leaves crowds out.
"""

import io
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import tensorflow_datasets as tfds

from jaxseg.data import builders, instances, records
from jaxseg.data.builders.shapes import Canvas, ShapesConfig
from jaxseg.data.instances import Objects
from jaxseg.data.labels import LabelSpec
from jaxseg.progress import over

LABELS = LabelSpec(
    names=("disc", "square", "triangle", "ring", "bar"),
    palette=((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (204, 121, 167)),
    raw_to_train={k: k - 1 for k in range(1, 6)},
)
DISC, SQUARE, TRIANGLE, RING, BAR = range(1, 6)
SPLITS = ("train", "val", "overlap", "touching", "scale", "thin", "crowds")
STANDARD = ShapesConfig(name="instances", size=128, train=800, val=200)
RADII = (3.5, 42.0)
MIDDLE = (9.0, 20.0)  # radii for splits whose difficulty is not the size
LEAST_SEEN = 0.4  # share of an object's pixels that stays visible
_KEY = 1000  # gives other random numbers than the other drawn sets have
_TRIES = 30


class _Scene:
    """An image that is being drawn, and its objects."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.rng, self.size, self.unit = rng, size, size / 128
        self.canvas = Canvas(rng, size)
        self.ids = np.zeros((size, size), np.uint8)  # 0: none; k: the k-th object
        self.drawn: list[int] = []  # pixels of each object, including covered ones
        self.classes: list[int] = []
        self.crowd: list[bool] = []

    def add(
        self,
        mask: np.ndarray,
        kind: int,
        *,
        onto: int = 0,
        touching: bool = False,
        colour: np.ndarray | None = None,
    ) -> int:
        """Draws an object if there is room for it.

        Args:
          mask: uint8 [size, size], 0 or 1.
          kind: its class.
          onto: number of the object that it may cover in part; 0: none.
          touching: whether it may touch others; else a pixel of background stays between them.
          colour: float32 [3]; None: a random one.

        Returns:
          Its number, or 0 if there was no room.
        """
        around = mask if touching else cv2.dilate(mask, np.ones((3, 3), np.uint8))
        under = np.unique(self.ids[around > 0])
        if not mask.any() or not set(under.tolist()) <= {0, onto}:
            return 0
        if onto:
            left = np.count_nonzero((self.ids == onto) & (mask == 0))
            if left < LEAST_SEEN * self.drawn[onto - 1]:
                return 0
        self.canvas.paint(mask, colour)
        self.drawn.append(int(mask.sum()))
        self.classes.append(kind)
        self.crowd.append(False)
        self.ids[mask > 0] = len(self.drawn)
        return len(self.drawn)

    def radius(self, radii: tuple[float, float]) -> float:
        """Log-uniform, in pixels of this image."""
        return float(np.exp(self.rng.uniform(*np.log(radii)))) * self.unit

    def solid(self, kind: int, x: float, y: float, radius: float) -> np.ndarray:
        """The mask of a disc, square or triangle."""
        if kind == DISC:
            return self.canvas.disc(x, y, radius)
        return self.canvas.regular(x, y, radius * 1.2, 4 if kind == SQUARE else 3)

    def place(self, reach: float) -> tuple[float, float]:
        """A point at two thirds of `reach` from the border, so that a part may lie outside."""
        margin = min(0.66 * reach, 0.45 * self.size)
        x, y = self.rng.uniform(margin, self.size - margin, 2).tolist()
        return x, y

    def finished(self) -> tuple[np.ndarray, Objects]:
        """The image and its objects, in the order of drawing."""
        image, _ = self.canvas.finished()
        masks = [self.ids == k + 1 for k in range(len(self.drawn))]
        size = (self.size, self.size)
        return image, instances.of_masks(masks, self.classes, size, self.crowd)


def _scattered(scene: _Scene, radii: tuple[float, float], count: int) -> None:
    """Draws separate solid objects, large ones first."""
    for radius in sorted((scene.radius(radii) for _ in range(count)), reverse=True):
        kind = int(scene.rng.choice([DISC, SQUARE, TRIANGLE]))
        for _ in range(_TRIES):
            if scene.add(scene.solid(kind, *scene.place(radius), radius), kind):
                break


def _overlap(scene: _Scene) -> None:
    rng = scene.rng
    for _ in range(_TRIES):
        radius, kind = scene.radius(MIDDLE), int(rng.choice([DISC, SQUARE, TRIANGLE]))
        x, y = scene.place(radius)
        if not (below := scene.add(scene.solid(kind, x, y, radius), kind)):
            continue
        for _ in range(_TRIES):
            other, turn = radius * rng.uniform(0.6, 1.1), rng.uniform(0, 2 * np.pi)
            reach = rng.uniform(0.55, 0.9) * (radius + other)
            at = x + reach * np.cos(turn), y + reach * np.sin(turn)
            kind = int(rng.choice([DISC, SQUARE, TRIANGLE]))
            mask = scene.solid(kind, *at, other)
            if (mask[scene.ids == below]).any() and scene.add(mask, kind, onto=below):
                return


def _touching(scene: _Scene) -> None:
    rng, kind = scene.rng, int(scene.rng.choice([DISC, SQUARE]))
    radius, turn = scene.radius((6.0, 11.0)), scene.rng.uniform(0, np.pi / 2)
    wanted, step = int(rng.integers(3, 7)), 2 * radius
    colour: np.ndarray | None = None
    centres: list[tuple[float, float]] = []
    for _ in range(4 * _TRIES):
        if not centres:
            x, y = scene.place(2 * radius)
        else:
            quarter = rng.integers(4) * np.pi / 2 if kind == SQUARE else rng.uniform(0, 2 * np.pi)
            beside = centres[rng.integers(len(centres))]
            x = beside[0] + step * np.cos(turn + quarter)
            y = beside[1] + step * np.sin(turn + quarter)
        mask = _tile(scene, kind, x, y, radius, turn)
        neighbour = cv2.dilate(mask, np.ones((3, 3), np.uint8)) > 0
        if centres:
            mask = mask * (scene.ids == 0)  # pixels on the seam belong to the first
            others = set(np.unique(scene.ids[neighbour]).tolist()) - {0}
            own = set(range(len(scene.drawn) - len(centres) + 1, len(scene.drawn) + 1))
            if not others or not others <= own or mask.sum() < 0.8 * 3 * radius**2:
                continue
        if colour is None:
            colour = scene.canvas.colour(mask)
        if scene.add(mask, kind, touching=bool(centres), colour=colour):
            centres.append((x, y))
        if len(centres) == wanted:
            return


def _tile(scene: _Scene, kind: int, x: float, y: float, radius: float, turn: float) -> np.ndarray:
    """A disc, or a square aligned with a grid."""
    if kind == DISC:
        return scene.canvas.disc(x, y, radius)
    angles = turn + np.pi / 4 + np.pi / 2 * np.arange(4)
    corners = np.stack([np.cos(angles), np.sin(angles)], -1) * radius * np.sqrt(2) + (x, y)
    return scene.canvas.polygon(corners)


def _scale(scene: _Scene) -> None:
    _scattered(scene, (36.0, RADII[1]), 1)
    _scattered(scene, RADII, 4)
    _scattered(scene, (RADII[0], 4.2), 2)


def _thin(scene: _Scene) -> None:
    rng, unit = scene.rng, scene.unit
    for kind in rng.permutation([BAR, BAR, RING]).tolist():
        width = rng.uniform(2.0, 3.0) * unit
        for _ in range(_TRIES):
            if kind == BAR:
                x, y = scene.place(20 * unit)
                reach, turn = rng.uniform(15, 45) * unit, rng.uniform(0, np.pi)
                along = reach * np.array([np.cos(turn), np.sin(turn)])
                ends = np.clip(np.array([x, y]) + np.array([-along, along]), 0, scene.size - 1)
                mask = scene.canvas.stroke(ends, width)
            else:
                radius = scene.radius((8.0, 18.0))
                x, y = scene.place(radius)
                hole = scene.canvas.disc(x, y, radius - width)
                mask = scene.canvas.disc(x, y, radius) * (1 - hole)
            if scene.add(mask, kind):
                break


def _crowd(scene: _Scene) -> None:
    """Draws small discs in a patch and annotates them as one region."""
    rng, unit = scene.rng, scene.unit
    x, y = scene.place(24 * unit)
    colour, region = None, np.zeros_like(scene.ids)
    for _ in range(int(rng.integers(12, 25))):
        at = rng.normal((x, y), 8 * unit)
        mask = scene.canvas.disc(at[0], at[1], scene.radius((2.0, 3.2)))
        if not mask.any() or (scene.ids * cv2.dilate(mask, np.ones((3, 3), np.uint8))).any():
            continue
        colour = scene.canvas.colour(mask) if colour is None else colour
        scene.canvas.paint(mask, colour)
        region |= mask
    if region.any():
        scene.drawn.append(int(region.sum()))
        scene.classes.append(DISC)
        scene.crowd.append(True)
        scene.ids[region > 0] = len(scene.drawn)


_CAUSES: dict[str, tuple[Callable[[_Scene], None], int]] = {  # and the number per image
    "overlap": (_overlap, 2),
    "touching": (_touching, 1),
    "scale": (_scale, 1),
    "thin": (_thin, 1),
    "crowds": (_crowd, 1),
}


def draw_example(seed: int, split: str, index: int, size: int) -> tuple[np.ndarray, Objects]:
    """Example `index` of a split: image uint8 [size, size, 3] and its objects."""
    scene = _Scene(np.random.default_rng([seed, SPLITS.index(split), index, _KEY]), size)
    if split in _CAUSES:
        cause, times = _CAUSES[split]
        for _ in range(times):
            cause(scene)
        if split in ("overlap", "crowds"):
            _scattered(scene, MIDDLE, 2)
        return scene.finished()
    chance = scene.rng.random(4)
    for on, cause in zip(
        chance < (0.5, 0.5, 0.4, 0.2), (_overlap, _touching, _thin, _crowd), strict=True
    ):
        if on:
            cause(scene)
    _scattered(scene, RADII, int(scene.rng.integers(2, 6)))
    return scene.finished()


class ShapesInstances(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """The builder; splits of one difficulty have half as many examples as `val`."""

    name = "shapes"
    VERSION = tfds.core.Version(builders.VERSIONS["shapes"])

    def _info(self) -> tfds.core.DatasetInfo:
        return records.info(self, LABELS, instances=True)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        size = self.builder_config.size
        records.set_largest(self, dict.fromkeys(SPLITS, (size, size)))
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
        config = self.builder_config
        count = {"train": config.train, "val": config.val}.get(split, -(-config.val // 2))
        for i in over(range(count), f"shapes/instances {split}"):
            image, objects = draw_example(config.seed, split, i, config.size)
            yield (
                i,
                {
                    "image": io.BytesIO(records.encode_image(image)),
                    "label": instances.to_text(objects),
                    "name": f"{split}_{i:05d}",
                },
            )
