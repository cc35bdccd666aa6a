"""Pictures of labels in NumPy: an overlay on the image, a legend, images side by side.

A class whose colour is black (the background of PASCAL VOC) and void pixels leave the image
unchanged, so that only objects are coloured.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image, ImageDraw, ImageFont

from jaxseg.data.labels import LabelSpec
from jaxseg.percent import percent
from jaxseg.types import IGNORE

_MARGIN = 6  # pixels around and between the parts of a picture
_INK = (33, 33, 33)
_PAPER = (255, 255, 255)
# Dark, medium and (void) light, so that they differ for people with colour blindness too.
ERRORS = LabelSpec(("right", "wrong"), ((10, 48, 104), (235, 125, 30)), {0: 0, 1: 1, 255: IGNORE})


def _font(height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=height)


def _text_height(width: int) -> int:
    """Returns the text height for a picture width: 1/32 of it, from 10 to 28 pixels."""
    return int(np.clip(width // 32, 10, 28))


def _borders(label: np.ndarray) -> np.ndarray:
    """Marks pixels whose right or lower neighbour has another label, bool [H, W]."""
    border = np.zeros(label.shape, bool)
    border[:, :-1] |= label[:, :-1] != label[:, 1:]
    border[:-1] |= label[:-1] != label[1:]
    return border


def overlay(
    image: UInt8[np.ndarray, "h w 3"],
    label: Integer[np.ndarray, "h w"],
    spec: LabelSpec,
    *,
    alpha: float = 0.55,
) -> UInt8[np.ndarray, "h w 3"]:
    """Blends the colour of each class into the image and draws the borders of regions.

    Args:
      image: RGB.
      label: train ids.
      spec: the colours of the classes.
      alpha: opacity of the colours, 0 to 1.

    Raises:
      ValueError: image and label differ in size.
    """
    if image.shape[:2] != label.shape:
        raise ValueError(f"image {image.shape[:2]} and label {label.shape} differ in size")
    colour = np.asarray(spec.colour(label))  # [H, W, 3]
    drawn = (label != IGNORE) & colour.any(-1)
    share = np.where(drawn, np.where(_borders(label), 1.0, alpha), 0.0)[..., None]
    blended = image * (1.0 - share) + colour * share
    return np.rint(blended).astype(np.uint8)


def legend(
    label: Integer[np.ndarray, "*maps h w"],
    spec: LabelSpec,
    *,
    width: int,
    text_height: int | None = None,
) -> UInt8[np.ndarray, "rows {width} 3"]:
    """Draws a legend of the classes present, largest first: colour, name and share of the pixels.

    Args:
      label: train ids of one map, or of several together.
      spec: the names and colours of the classes.
      width: of the result, in pixels; entries wrap.
      text_height: in pixels; None derives it from the width.
    """
    height = text_height or _text_height(width)
    font, row = _font(height), height + _MARGIN
    counts = np.bincount(label.ravel(), minlength=256)
    present = [k for k in np.argsort(-counts, kind="stable") if counts[k]]
    entries: list[tuple[int, int, str, tuple[int, ...]]] = []  # x, y, text, colour
    x, y = _MARGIN, _MARGIN
    for k in present:
        share = counts[k] / label.size
        percents = "<0.1" if share < 0.001 else percent(share, int(share < 0.01))
        text = f"{spec.names[k] if k < len(spec.names) else 'void'} {percents}%"
        advance = round(height + _MARGIN + font.getlength(text) + 2 * _MARGIN)
        if x > _MARGIN and x + advance > width:
            x, y = _MARGIN, y + row
        box = spec.colour(np.asarray([[k]], np.uint8))[0, 0]
        entries.append((x, y, text, tuple(int(value) for value in box)))
        x += advance
    picture = Image.new("RGB", (width, y + row), _PAPER)
    draw = ImageDraw.Draw(picture)
    for x, y, text, fill in entries:
        draw.rectangle((x, y, x + height, y + height), fill=fill, outline=_INK)
        draw.text((x + height + _MARGIN, y + height / 2), text, _INK, font, anchor="lm")
    return np.asarray(picture)


def overlay_with_legend(
    image: UInt8[np.ndarray, "h w 3"], label: Integer[np.ndarray, "h w"], spec: LabelSpec
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Returns `overlay` above `legend`, at least 160 pixels wide."""
    drawn = overlay(image, label, spec)
    width = max(drawn.shape[1], 160)
    sheet = np.full((drawn.shape[0], width, 3), 255, np.uint8)
    sheet[:, : drawn.shape[1]] = drawn
    return np.concatenate([sheet, legend(label, spec, width=width)])


def strip(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]], titles: Sequence[str]
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Places images side by side, each under its title.

    Args:
      images: RGB; shorter ones are centred vertically.
      titles: one per image; a title wider than its image is truncated.

    Returns:
      A picture as high as the tallest image plus a line of text.

    Raises:
      ValueError: there is no image, or the number of titles differs.
    """
    if not images or len(images) != len(titles):
        raise ValueError(f"{len(images)} images and {len(titles)} titles: one title per image")
    height = _text_height(max(image.shape[1] for image in images))
    font, top = _font(height), height + 2 * _MARGIN
    tallest = max(image.shape[0] for image in images)
    total = sum(image.shape[1] for image in images) + _MARGIN * (len(images) - 1)
    sheet = Image.new("RGB", (total, top + tallest), _PAPER)
    draw = ImageDraw.Draw(sheet)
    x = 0
    for image, title in zip(images, titles, strict=True):
        fitting = title
        while fitting and font.getlength(fitting) > image.shape[1]:
            fitting = fitting[:-1]
        draw.text((x, top / 2), fitting, _INK, font, anchor="lm")
        sheet.paste(Image.fromarray(image), (x, top + (tallest - image.shape[0]) // 2))
        x += image.shape[1] + _MARGIN
    return np.asarray(sheet)


def errors(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Returns ids of `ERRORS`, uint8 [H, W]: pixels that are right, wrong, or void in the truth.

    Args:
      truth: train ids, uint8 [H, W].
      prediction: train ids, uint8 [H, W].
    """
    return np.where(truth == IGNORE, IGNORE, truth != prediction).astype(np.uint8)


def compared(
    image: np.ndarray,
    truth: np.ndarray,
    prediction: np.ndarray,
    spec: LabelSpec,
    title: str = "image",
) -> np.ndarray:
    """Draws image and truth above prediction and errors, with titles and legends.

    Args:
      image: uint8 [H, W, 3].
      truth: train ids, uint8 [H, W].
      prediction: train ids, uint8 [H, W].
      spec: the names and colours of the classes.
      title: of the image.

    Returns:
      uint8 RGB.
    """
    wrong = errors(truth, prediction)
    above = strip([image, spec.colour(truth)], [title, "truth"])
    below = strip([spec.colour(prediction), ERRORS.colour(wrong)], ["prediction", "errors"])
    width = above.shape[1]
    classes = legend(np.stack([truth, prediction]), spec, width=width)
    return np.concatenate([above, below, classes, legend(wrong, ERRORS, width=width)])
