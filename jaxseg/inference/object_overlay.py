"""Pictures of objects in NumPy: masks, outlines, boxes, names and scores on the image.

`drawn` is what prediction, evaluation and report show of a detector, and of the truth beside it.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, Integer, UInt8
from PIL import Image, ImageDraw, ImageFont

from jaxseg.percent import percent

# The colours of Okabe and Ito without black, which also differ for people with colour blindness.
COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
_OPACITY = 0.45  # of masks
_BRIGHT = 100  # mean of a colour's channels from which black is legible on it


def drawn(
    image: UInt8[np.ndarray, "h w 3"],
    boxes: Float[np.ndarray, "d 4"],
    classes: Integer[np.ndarray, " d"],
    scores: Float[np.ndarray, " d"] | None,
    masks: Iterable[np.ndarray] | None,
    names: Sequence[str],
) -> UInt8[np.ndarray, "h w 3"]:
    """Draws objects on a copy of the image, each in a colour of its own, the first one on top.

    Neighbouring objects of one class stay distinguishable, because a colour stands for an object,
    not for a class; the colours repeat after seven objects.

    Args:
      image: RGB.
      boxes: x1, y1, x2, y2 in pixels of the image.
      classes: 1 to K.
      scores: 0 to 1, written after the name as a percentage; None for the truth.
      masks: of each object [H, W], non-zero inside; an iterator may produce one at a time. None
        draws boxes alone.
      names: of the K classes.

    Raises:
      ValueError: the numbers of boxes, classes, scores and masks differ, or a mask has another size
        than the image.
    """
    count = len(boxes)
    if len(classes) != count or (scores is not None and len(scores) != count):
        raise ValueError(
            f"{count} boxes, {len(classes)} classes"
            + (f", {len(scores)} scores" if scores is not None else "")
        )
    canvas = image.copy()
    if masks is not None:
        _draw_masks(canvas, masks, count)
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    height = int(np.clip(image.shape[1] // 48, 11, 24))
    font = ImageFont.load_default(size=height)
    for i in reversed(range(count)):
        colour = _colour(i)
        x1, y1, x2, y2 = _pixels(boxes[i], image.shape[:2])
        draw.rectangle((x1, y1, x2, y2), outline=colour, width=max(1, image.shape[1] // 400))
        text = names[classes[i] - 1]
        if scores is not None:
            text = f"{text} {percent(float(scores[i]), 0)}"
        _draw_text(draw, (x1, y1), text, font, height, image.shape[1], colour)
    return np.asarray(picture)


def _colour(place: int) -> tuple[int, int, int]:
    return COLOURS[place % len(COLOURS)]


def _pixels(box: np.ndarray, size: tuple[int, ...]) -> tuple[int, int, int, int]:
    """First and last column and row of a box, on the image."""
    first = np.floor(box[:2]).astype(int)
    last = np.maximum(np.ceil(box[2:]).astype(int) - 1, first)
    x1, y1, x2, y2 = np.clip([*first, *last], 0, [size[1] - 1, size[0] - 1] * 2).tolist()
    return x1, y1, x2, y2


def _draw_masks(canvas: np.ndarray, masks: Iterable[np.ndarray], count: int) -> None:
    """Blends each mask where no earlier one lies, and draws the outlines of all, in place."""
    covered = np.zeros(canvas.shape[:2], bool)
    outlines = []
    for i, mask in enumerate(masks):
        if mask.shape != covered.shape:
            raise ValueError(f"image {covered.shape} and mask {mask.shape} differ in size")
        inside = mask != 0
        new = inside & ~covered
        canvas[new] = np.rint((1 - _OPACITY) * canvas[new] + _OPACITY * np.array(_colour(i)))
        covered |= inside
        outlines.append(np.nonzero(inside & ~_surrounded(inside)))
    if len(outlines) != count:
        raise ValueError(f"{count} boxes, {len(outlines)} masks")
    for i in reversed(range(count)):
        canvas[outlines[i]] = _colour(i)


def _surrounded(inside: np.ndarray) -> np.ndarray:
    """Whether the four neighbours of a pixel lie in the mask; beyond the image they do not."""
    padded = np.pad(inside, 1)
    rows = padded[:-2, 1:-1] & padded[2:, 1:-1]
    return np.asarray(rows & padded[1:-1, :-2] & padded[1:-1, 2:])


def _draw_text(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    height: int,
    width: int,
    colour: tuple[int, int, int],
) -> None:
    """Draws a label above the upper left corner of a box, or inside the box if there is no room."""
    wide, high = round(font.getlength(text)) + 4, height + 2
    x = max(0, min(corner[0], width - wide))
    y = corner[1] - high if corner[1] >= high else corner[1]
    draw.rectangle((x, y, x + wide, y + high), fill=colour)
    ink = (0, 0, 0) if sum(colour) >= 3 * _BRIGHT else (255, 255, 255)
    draw.text((x + 2, y + high / 2), text, ink, font, anchor="lm")
