"""Variants of Shapes, each of which tests a single effect that a paper's table is about.

    python -m jaxseg.data.prepare --name=shapes/thin

The classes are those of `shapes`, some of which do not occur in a variant. Lengths below are in
pixels of the default 64 x 64 images. As in `shapes`, colours are random, textures noisy, and an
example is a pure function of (variant, seed, split, index).

- thin: strokes 1.5 to 2.5 wide and objects of radius 2.5 to 5. An output stride of 8 or more loses
  them. There is no void around them, so that an error of one pixel counts.
- far: discs are `captive` inside a frame and `disc` outside it, their centres 12 to 28 from the
  nearest wall on both sides, their radius 3 to 5. An output at a disc's centre that sees at most 23
  pixels, 11 to each side, sees no wall; one at its rim, 7 from the wall, may see it, but only a
  corner or a second wall shows on which side of a wall it is. Without that, half of the discs are
  classified correctly.
- scene: all discs of an image are `captive` if there is a frame anywhere in it, which surrounds no
  disc and is at least 16 from their centres; otherwise there is a filled square in its place and
  all are `disc`. A network that sees at most 31 pixels at the centre (19 at the rim) classifies
  half of the discs correctly; frames and discs may be in opposite corners, which requires context
  from the whole image.
- rare: large discs and squares on a background that is most of the image; `cross` is about 1 pixel
  in 1500 and occurs in one image of 9, `triangle` about 1 in 300. This tests class imbalance.
- cells: 8 to 20 crowded discs of one class and colour, with 1 to 3 of background between
  neighbours. This tests U-Net's weight map (jaxseg/data/augment/weight_map.py). There is no void,
  so that every gap counts.
"""

import dataclasses

import numpy as np

from jaxseg.data.builders import shapes
from jaxseg.data.builders.shapes import CAPTIVE, CROSS, DISC, FRAME, SQUARE, TRIANGLE, Canvas, Frame

SIDE = 64  # pixels for which the lengths are stated
WALL = (12.0, 28.0)  # far: distance from a disc's centre to the frame
APART = 16.0  # scene: minimal distance from a disc's centre to the frame or square
CELLS = (8, 20)  # intended number; the last ones may not fit
GAPS = (1.0, 3.0)  # cells: gap between a cell and the neighbour next to which it is placed
_TRIES = 40


def _unit(canvas: Canvas) -> float:
    return canvas.size / SIDE


def _frame(centre: np.ndarray, half: np.ndarray, turn: float) -> Frame:
    cos, sin = np.cos(turn), np.sin(turn)
    return Frame(centre, half, np.array([(cos, -sin), (sin, cos)]))


def _walls(canvas: Canvas, frame: Frame, width: float) -> np.ndarray:
    """The mask of a frame with strokes of `width`."""
    corners = frame.corners()
    mask = np.zeros_like(canvas.label)
    for k in range(4):
        mask |= canvas.stroke(corners[[k, (k + 1) % 4]], width)
    return mask


def _cross(canvas: Canvas, arm: float, width: float) -> np.ndarray:
    """The mask of a complete cross at a random position."""
    centre = canvas.rng.uniform(arm, canvas.size - arm, 2)
    angle = canvas.rng.uniform(0, np.pi)
    mask = np.zeros_like(canvas.label)
    for turn in (angle, angle + np.pi / 2):
        reach = np.array([np.cos(turn), np.sin(turn)]) * arm
        mask |= canvas.stroke(np.array([centre - reach, centre + reach]), width)
    return mask


def _solid(canvas: Canvas, kind: int, radius: float) -> np.ndarray:
    """The mask of a complete disc, square or triangle, about as large as a disc of `radius`."""
    x, y = canvas.rng.uniform(1.2 * radius, canvas.size - 1.2 * radius, 2)
    if kind == DISC:
        return canvas.disc(x, y, radius)
    return canvas.regular(x, y, 1.2 * radius, 4 if kind == SQUARE else 3)


def _distance(mask: np.ndarray, x: float, y: float) -> float:
    """The distance from a point to the nearest pixel of `mask`; infinity if that is empty."""
    pixels = np.argwhere(mask)
    return float(np.hypot(pixels[:, 0] - y, pixels[:, 1] - x).min(initial=np.inf))


def _thin(canvas: Canvas, kind: int) -> tuple[np.ndarray, np.ndarray]:
    """The mask of a thin or small object, and the mask of everything that it encloses."""
    rng, unit = canvas.rng, _unit(canvas)
    width = rng.uniform(1.5, 2.5) * unit
    if kind == FRAME:
        half = rng.uniform(5, 12, 2) * unit
        turn = rng.uniform(0, np.pi / 2)
        frame = _frame(rng.uniform(half, canvas.size - half), half, turn)
        walls = _walls(canvas, frame, width)
        return walls, walls | canvas.polygon(frame.corners())
    if kind == CROSS:
        mask = _cross(canvas, rng.uniform(4, 8) * unit, width)
    else:
        mask = _solid(canvas, kind, rng.uniform(2.5, 5) * unit)
    return mask, mask


def draw_thin(seed: int, split: str, index: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """See `shapes.draw_example`; thin strokes and small objects, nothing inside a frame."""
    canvas = _canvas("thin", seed, split, index, size)
    taken = np.zeros_like(canvas.label)
    kinds = [FRAME, CROSS, CROSS, DISC, SQUARE, TRIANGLE, *canvas.rng.integers(1, 4, 2), FRAME]
    for kind in kinds[: canvas.rng.integers(6, len(kinds) + 1)]:
        for _ in range(_TRIES):
            mask, whole = _thin(canvas, int(kind))
            if not (whole & taken).any() and canvas.place(mask, int(kind), void=False):
                taken |= whole
                break
    return canvas.finished()


def _far_frame(canvas: Canvas) -> tuple[Frame, np.ndarray]:
    """A frame with at least two corners in the image, and its mask."""
    rng, unit = canvas.rng, _unit(canvas)
    while True:
        half = rng.uniform(16, 24, 2) * unit
        frame = _frame(rng.uniform(0, canvas.size, 2), half, rng.uniform(-0.3, 0.3))
        seen = ((frame.corners() > 0) & (frame.corners() < canvas.size)).all(-1)
        if seen.sum() >= 2:
            return frame, _walls(canvas, frame, rng.uniform(1.6, 2.4) * unit)


def draw_far(seed: int, split: str, index: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """See `shapes.draw_example`; one frame, and discs far from its walls on both sides."""
    canvas = _canvas("far", seed, split, index, size)
    rng, unit = canvas.rng, _unit(canvas)
    inside = bool(
        rng.random() < 0.5
    )  # the first disc, with the same distribution of position and size
    placed = False
    while not placed:
        first = rng.uniform(6 * unit, size - 6 * unit, 2)
        for _ in range(_TRIES):
            frame, walls = _far_frame(canvas)
            near = WALL[0] * unit < _distance(walls, *first) < WALL[1] * unit
            if near and (frame.depth(*first) > 0) == inside:
                placed = canvas.place(walls, FRAME)
                break
    wanted: dict[bool, int] = {inside: 1, not inside: int(rng.integers(0, 2))}
    for x, y in [first, *rng.uniform(4 * unit, size - 4 * unit, (2 * _TRIES, 2))]:
        side = frame.depth(x, y) > 0
        if wanted[side] and WALL[0] * unit < _distance(walls, x, y) < WALL[1] * unit:
            mask = canvas.disc(x, y, rng.uniform(3, 5) * unit)
            wanted[side] -= canvas.place(mask, CAPTIVE if side else DISC)
    return canvas.finished()


def draw_scene(seed: int, split: str, index: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """See `shapes.draw_example`; the presence of a frame decides the class of all discs."""
    canvas = _canvas("scene", seed, split, index, size)
    rng, unit = canvas.rng, _unit(canvas)
    captives = bool(rng.random() < 0.5)
    half = rng.uniform(5, 8, 2) * unit
    frame = _frame(rng.uniform(half, size - half), half, rng.uniform(0, np.pi / 2))
    walls = _walls(canvas, frame, rng.uniform(1.6, 2.2) * unit)
    # It has the same size, so that neither the number of objects nor their outlines are a clue.
    decisive = walls if captives else canvas.polygon(frame.corners())
    canvas.place(decisive, FRAME if captives else SQUARE)
    wanted = rng.integers(2, 5)
    for _ in range(_TRIES):
        radius = rng.uniform(3, 6) * unit
        x, y = rng.uniform(radius, size - radius, 2)
        if wanted and _distance(decisive, x, y) > APART * unit:
            wanted -= canvas.place(canvas.disc(x, y, radius), CAPTIVE if captives else DISC)
    for _ in range(rng.integers(0, 3)):
        canvas.place(_solid(canvas, SQUARE, rng.uniform(3, 6) * unit), SQUARE)
    return canvas.finished()


def draw_rare(seed: int, split: str, index: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """See `shapes.draw_example`; two common classes, two rare ones, much background."""
    canvas = _canvas("rare", seed, split, index, size)
    rng, unit = canvas.rng, _unit(canvas)
    wanted = []
    if rng.random() < 0.12:
        wanted.append(CROSS)
    if rng.random() < 0.36:
        wanted.append(TRIANGLE)
    wanted += [DISC, SQUARE][:: rng.choice([-1, 1])][: rng.integers(1, 3)]
    for kind in wanted:
        for _ in range(_TRIES):
            if kind == CROSS:
                mask = _cross(canvas, rng.uniform(3, 4.5) * unit, 1.5 * unit)
            elif kind == TRIANGLE:
                mask = _solid(canvas, TRIANGLE, rng.uniform(3.2, 4.2) * unit)
            else:
                mask = _solid(canvas, kind, rng.uniform(8, 13) * unit)
            if canvas.place(mask, kind):
                break
    return canvas.finished()


def draw_cells(seed: int, split: str, index: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """See `shapes.draw_example`; crowded discs of one colour with thin gaps between them."""
    canvas = _canvas("cells", seed, split, index, size)
    rng, unit = canvas.rng, _unit(canvas)
    radii = rng.uniform(4, 8.5, rng.integers(CELLS[0], CELLS[1] + 1)) * unit
    centre = rng.uniform(size / 3, 2 * size / 3, 2)
    colour = canvas.colour(canvas.disc(centre[0], centre[1], size / 2))
    cells: list[tuple[np.ndarray, float]] = []
    for radius in radii:
        for _ in range(_TRIES):
            if cells:  # place it next to an existing one
                beside, other = cells[rng.integers(len(cells))]
                turn = rng.uniform(0, 2 * np.pi)
                reach = radius + other + rng.uniform(*GAPS) * unit
                centre = beside + reach * np.array([np.cos(turn), np.sin(turn)])
            inside = (centre > 0).all() and (centre < size).all()
            if inside and canvas.place(
                canvas.disc(centre[0], centre[1], radius), DISC, void=False, colour=colour
            ):
                cells.append((centre, radius))
                break
    return canvas.finished()


@dataclasses.dataclass(frozen=True)
class Variant:
    """How an example is drawn, and the default number of examples."""

    draw: shapes.Draw
    size: int = SIDE
    train: int = 800
    val: int = 200


VARIANTS = {
    "thin": Variant(draw_thin),
    "far": Variant(draw_far),
    "scene": Variant(draw_scene),
    "rare": Variant(draw_rare),
    "cells": Variant(draw_cells),
}


def _canvas(variant: str, seed: int, split: str, index: int, size: int) -> Canvas:
    key = [seed, shapes.SPLITS.index(split), index, 1 + list(VARIANTS).index(variant)]
    return Canvas(np.random.default_rng(key), size)
