"""Pictures of labels: an overlay on the image, a legend, images side by side. Host only, NumPy.

A class whose colour is black (the background of PASCAL VOC) and void pixels leave the image as it
is, so that what an overlay colours is what the network found.
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
# Dark, middle and (void) light, so that they differ for those who see fewer colours, too.
ERRORS = LabelSpec(("right", "wrong"), ((10, 48, 104), (235, 125, 30)), {0: 0, 1: 1, 255: IGNORE})


def _font(height: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=height)


def _text_height(width: int) -> int:
    """Letters of 14 pixels, smaller under narrow pictures, larger under wide ones."""
    return int(np.clip(width // 32, 10, 28))


def _borders(label: np.ndarray) -> np.ndarray:
    """Pixels whose right or lower neighbour has another label, bool [H, W]."""
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
    """The image with each class in its colour over it and the borders of regions drawn.

    Args:
      image: RGB.
      label: train ids.
      spec: gives the colours.
      alpha: share of the class colour, 0 to 1.

    Raises:
      ValueError: image and label differ in size.
    """
    if image.shape[:2] != label.shape:
        raise ValueError(f"an image of {image.shape[:2]} cannot carry a label of {label.shape}")
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
    """The classes present in `label`, largest first: colour, name and share of the pixels.

    Args:
      label: train ids, of one map or of several together.
      spec: gives names and colours.
      width: of the result, in pixels; entries wrap.
      text_height: of the letters, in pixels; None: from the width.
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
    """`overlay` with `legend` under it; at least 160 pixels wide."""
    drawn = overlay(image, label, spec)
    width = max(drawn.shape[1], 160)
    sheet = np.full((drawn.shape[0], width, 3), 255, np.uint8)
    sheet[:, : drawn.shape[1]] = drawn
    return np.concatenate([sheet, legend(label, spec, width=width)])


def strip(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]], titles: Sequence[str]
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Images side by side, each under its title.

    Args:
      images: RGB; lower ones are centred.
      titles: one a picture; a title that is wider than its image is cut.

    Returns:
      As high as the highest image and a line of text.

    Raises:
      ValueError: not one title for each image, or no image.
    """
    if not images or len(images) != len(titles):
        raise ValueError(f"{len(images)} images cannot stand under {len(titles)} titles")
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
    """Ids of `ERRORS`, uint8 [H, W]: which pixels are right, wrong, and void in the truth.

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
    """Image and truth above prediction and errors, each under its title, with their legends.

    Args:
      image: uint8 [H, W, 3].
      truth: train ids, uint8 [H, W].
      prediction: train ids, uint8 [H, W].
      spec: gives names and colours.
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
