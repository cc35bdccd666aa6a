"""Shapes: a procedural data set that tests what segmentation papers are about.

- Receptive field: a disc is a `captive` inside a frame and a `disc` outside. Nothing else
  distinguishes them, and the frame is up to half its side (55 of 128 pixels) away.
- Resolution: radii from 3.5 to 42 pixels, frames of 3 pixels, crosses of 3 pixel strokes.
- Loss: `cross` is rare and small (about 1 pixel in 400), background is most of each image.
- Void: a border of one pixel around every object, as in PASCAL VOC.

Colours are random and textures noisy, so that only shape and context matter. Example i of a split
is a pure function of (seed, split, i).
"""

import dataclasses
import io
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import tensorflow_datasets as tfds

from jaxseg.data import builders, records
from jaxseg.data.labels import LabelSpec
from jaxseg.ignore import IGNORE
from jaxseg.progress import over

LABELS = LabelSpec(
    names=("background", "disc", "square", "triangle", "frame", "captive", "cross"),
    palette=(
        (0, 0, 0),
        (230, 159, 0),
        (86, 180, 233),
        (0, 158, 115),
        (240, 228, 66),
        (213, 94, 0),
        (204, 121, 167),
    ),
    raw_to_train={**{k: k for k in range(7)}, IGNORE: IGNORE},
)
DISC, SQUARE, TRIANGLE, FRAME, CAPTIVE, CROSS = range(1, 7)
SPLITS = ("train", "val")
Draw = Callable[[int, str, int, int], tuple[np.ndarray, np.ndarray]]
RADII = (3.5, 42.0)  # of discs, squares and triangles, at 128 pixels
_SUBPIXEL = 4  # bits of fraction in OpenCV's drawing coordinates
_CONTRAST = 70.0  # minimal distance in RGB between an object and its background


class Canvas:
    """An unfinished image: colours, labels and occupied pixels."""

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.rng = rng
        self.size = size
        self.unit = size / 128  # all lengths below are for 128 pixels
        self.label = np.zeros((size, size), np.uint8)
        self.image = self._texture((size, size), {4: 17.0, 16: 14.0, 64: 8.0})
        self.image += rng.uniform(50, 205, 3).astype(np.float32)

    def _texture(self, shape: tuple[int, int], spreads: dict[int, float]) -> np.ndarray:
        """Noise of so many cells per side (-> its deviation), float32 [height, width, 3]."""
        texture = np.zeros((*shape, 3), np.float32)
        for cells, spread in spreads.items():
            noise = self.rng.standard_normal((cells, cells, 3), np.float32) * np.float32(spread)
            texture += cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_LINEAR)
        return texture

    def colour(self, mask: np.ndarray) -> np.ndarray:
        """A random colour that differs clearly from the pixels under `mask`."""
        under = np.array(cv2.mean(self.image, mask)[:3])
        while True:
            colour = self.rng.uniform(10, 245, 3).astype(np.float32)
            if np.linalg.norm(colour - under) > _CONTRAST:
                return colour

    def place(
        self,
        mask: np.ndarray,
        train_id: int,
        *,
        void: bool = True,
        colour: np.ndarray | None = None,
    ) -> bool:
        """Paints an object unless it touches another one.

        Args:
          mask: uint8 [size, size], 0 or 1.
          train_id: of the object.
          void: add a border of one void pixel, which must not touch that of another object;
            otherwise, one pixel of background stays between two objects.
          colour: float32 [3]; None: a random one.

        Returns:
          Whether there was space for it.
        """
        border = cv2.dilate(mask, np.ones((3, 3), np.uint8))
        clear = cv2.dilate(border, np.ones((3, 3), np.uint8)) if void else border
        if not mask.any() or (self.label * clear).any():
            return False
        self.paint(mask, colour)
        if void:
            self.label[border > 0] = IGNORE
        self.label[mask > 0] = train_id
        return True

    def paint(self, mask: np.ndarray, colour: np.ndarray | None = None) -> None:
        """Draws the pixels of an object, uint8 [size, size], over what is there.

        Args:
          mask: 0 or 1.
          colour: float32 [3]; None: a random one.
        """
        border = cv2.dilate(mask, np.ones((3, 3), np.uint8))
        x, y, width, height = cv2.boundingRect(border)
        part = slice(y, y + height), slice(x, x + width)
        alpha = cv2.GaussianBlur(mask[part].astype(np.float32), (3, 3), 0.6)[..., None]
        spread = float(self.rng.uniform(4, 14))
        texture = self._texture((height, width), {3: spread, 8: spread})
        paint = texture + (self.colour(mask) if colour is None else colour)
        self.image[part] += alpha * (paint - self.image[part])

    def finished(self) -> tuple[np.ndarray, np.ndarray]:
        """The example with camera noise: image uint8 [size, size, 3] and label."""
        image = cv2.GaussianBlur(self.image, (3, 3), 0.5)
        image = image + np.float32(7) * self.rng.standard_normal(image.shape, np.float32)
        return np.clip(np.rint(image), 0, 255).astype(np.uint8), self.label

    def polygon(self, corners: np.ndarray) -> np.ndarray:
        """The mask of a filled polygon, corners [N, 2] as (x, y) in pixels."""
        mask = np.zeros((self.size, self.size), np.uint8)
        points = np.rint(corners * 2**_SUBPIXEL).astype(np.int32)
        cv2.fillPoly(mask, [points], 1, lineType=cv2.LINE_8, shift=_SUBPIXEL)
        return mask

    def disc(self, x: float, y: float, radius: float) -> np.ndarray:
        """The mask of a disc."""
        angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        corners = np.stack([np.cos(angles), np.sin(angles)], -1) * radius + (x, y)
        return self.polygon(corners)

    def regular(self, x: float, y: float, radius: float, corners: int) -> np.ndarray:
        """The mask of a square (4) or triangle (3) with a random orientation."""
        start = self.rng.uniform(0, 2 * np.pi)
        angles = start + 2 * np.pi * np.arange(corners) / corners
        return self.polygon(np.stack([np.cos(angles), np.sin(angles)], -1) * radius + (x, y))

    def stroke(self, ends: np.ndarray, width: float) -> np.ndarray:
        """The mask of a straight stroke between two points [2, 2] of (x, y)."""
        along = (ends[1] - ends[0]) / max(1e-6, float(np.linalg.norm(ends[1] - ends[0])))
        across = np.array([-along[1], along[0]]) * (width - 1) / 2  # fillPoly adds its outline
        return self.polygon(
            np.array([ends[0] - across, ends[0] + across, ends[1] + across, ends[1] - across])
        )


@dataclasses.dataclass(frozen=True)
class Frame:
    """The position of a frame: its centre, half sides and orientation."""

    centre: np.ndarray
    half: np.ndarray
    turn: np.ndarray  # [2, 2], rotation

    def corners(self) -> np.ndarray:
        """The corners of the centre line of the walls, [4, 2] as (x, y), in circular order."""
        signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
        return self.centre + (signs * self.half) @ self.turn.T

    def depth(self, x: float, y: float) -> float:
        """Distance from the nearest wall in pixels: positive inside, negative outside."""
        inside = self.half - np.abs((np.array([x, y]) - self.centre) @ self.turn)
        outside = np.maximum(-inside, 0)
        return float(inside.min()) if (inside >= 0).all() else -float(np.linalg.norm(outside))


def _add_frame(canvas: Canvas) -> Frame | None:
    rng, unit, size = canvas.rng, canvas.unit, canvas.size
    angle = rng.uniform(-0.3, 0.3)
    turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    half = rng.uniform(20, 55, 2) * unit
    frame = Frame(rng.uniform(half, size - half), half, turn)
    corners = frame.corners()
    mask = np.zeros((size, size), np.uint8)
    width = rng.uniform(2.5, 3.3) * unit
    for k in range(4):
        mask |= canvas.stroke(corners[[k, (k + 1) % 4]], width)
    return frame if canvas.place(mask, FRAME) else None


def _add_disc(canvas: Canvas, frame: Frame | None, inside: bool) -> None:
    """Adds a disc entirely inside or outside the frame, with the same sizes on both sides."""
    rng, unit = canvas.rng, canvas.unit
    for _ in range(12):
        radius = float(np.exp(rng.uniform(np.log(RADII[0]), np.log(14.0)))) * unit
        if frame is not None and inside:
            room = np.maximum(frame.half - radius - 4 * unit, 0)
            x, y = frame.centre + (rng.uniform(-1, 1, 2) * room) @ frame.turn.T
        else:
            x, y = rng.uniform(0, canvas.size, 2)
        depth = frame.depth(x, y) if frame is not None else -np.inf
        clear = depth > radius + 3 * unit if inside else -depth > radius + 3 * unit
        if clear and canvas.place(canvas.disc(x, y, radius), CAPTIVE if inside else DISC):
            return


def _add_any(canvas: Canvas, kind: int, radii: tuple[float, float], margin: float) -> None:
    rng, unit = canvas.rng, canvas.unit
    for _ in range(12):
        radius = float(np.exp(rng.uniform(*np.log(radii)))) * unit
        x, y = rng.uniform(margin * canvas.size, (1 - margin) * canvas.size, 2)
        if kind == DISC:
            mask = canvas.disc(x, y, radius)
        else:
            mask = canvas.regular(x, y, radius * 1.2, 4 if kind == SQUARE else 3)
        if canvas.place(mask, kind):
            return


def _add_cross(canvas: Canvas) -> None:
    rng, unit = canvas.rng, canvas.unit
    for _ in range(12):
        centre = rng.uniform(9 * unit, canvas.size - 9 * unit, 2)
        angle, arm = rng.uniform(0, np.pi), rng.uniform(6.0, 9.0) * unit
        mask = np.zeros_like(canvas.label)
        for turn in (angle, angle + np.pi / 2):
            reach = np.array([np.cos(turn), np.sin(turn)]) * arm
            mask |= canvas.stroke(np.array([centre - reach, centre + reach]), 3.0 * unit)
        if canvas.place(mask, CROSS):
            return


def draw_example(seed: int, split: str, index: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Example `index` of a split: image uint8 [size, size, 3] and label uint8 [size, size]."""
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    canvas = Canvas(rng, size)
    frame = _add_frame(canvas) if rng.random() < 0.75 else None
    if frame is None:  # the largest fit only if there is no frame to keep free
        _add_any(canvas, int(rng.choice([DISC, SQUARE, TRIANGLE])), (14.0, RADII[1]), 0.3)
    else:
        for _ in range(rng.integers(1, 4)):
            _add_disc(canvas, frame, inside=True)
    for _ in range(rng.integers(1, 4)):
        _add_disc(canvas, frame, inside=False)
    for _ in range(rng.integers(2, 6)):
        _add_any(canvas, int(rng.choice([SQUARE, TRIANGLE])), (RADII[0], 24.0), 0.0)
    if rng.random() < 0.3:
        _add_cross(canvas)
    return canvas.finished()


@dataclasses.dataclass(eq=False)
class ShapesConfig(tfds.core.BuilderConfig):
    """The number and size of examples, the seed, and how an example is drawn.

    Attributes:
      draw: `draw_example`, or that of a variant (jaxseg/data/builders/shapes_variants.py).
    """

    size: int = 128
    train: int = 1600
    val: int = 200
    seed: int = 0
    draw: Draw = draw_example


class Shapes(tfds.core.GeneratorBasedBuilder):
    """The builder; without a config, 1600 training and 200 validation images of 128 x 128."""

    VERSION = tfds.core.Version(builders.VERSIONS["shapes"])

    @property
    def _config(self) -> ShapesConfig:
        return self.builder_config or ShapesConfig(name="default")

    def _info(self) -> tfds.core.DatasetInfo:
        return records.info(self, LABELS)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        size = self._config.size
        records.set_largest(self, dict.fromkeys(SPLITS, (size, size)))
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
        config = self._config
        count = config.train if split == "train" else config.val
        for i in over(range(count), f"shapes {split}"):
            image, label = config.draw(config.seed, split, i, config.size)
            yield (
                i,
                {
                    "image": io.BytesIO(records.encode_image(image)),
                    "label": io.BytesIO(records.encode_label(label)),
                    "name": f"{split}_{i:05d}",
                },
            )
