"""Decodes each pair of files once, completely, and records its content in a journal."""

import dataclasses
import json
import pathlib
import zlib
from collections.abc import Mapping

import cv2
import numpy as np
from pycocotools import mask as rle

from jaxseg.data import records
from jaxseg.data.instances import Objects
from jaxseg.data.pairing.pair import Pair
from jaxseg.data.readers import image_file, mask_file, pixels

_EXACT = 1 << 24  # pixels that OpenCV counts exactly: its counts are float32
_READER = 2  # increased when files are read differently, or other facts are stored


@dataclasses.dataclass(frozen=True)
class Facts:
    """The content of one pair of files.

    Attributes:
      height: rows.
      width: columns.
      kind: how the mask encodes its ids, "grey 8 bit", "palette", "colours".
      counts: raw id -> pixels; for objects, category -> pixels, counted per object.
      orientation: the EXIF tag by which the image is rotated, 1 to 8; 1: it is not.
    """

    height: int
    width: int
    kind: str
    counts: Mapping[int, int]
    orientation: int = 1


def inspect(pair: Pair, colours: mask_file.Colours | None = None) -> Facts:
    """Decodes both files completely.

    Raises:
      ValueError: describes the fault, with the file's name.
    """
    try:
        path = pair.image
        picture = pixels.read(path, pair.page)
        height, width = picture.pixels.shape[:2]
        path = pair.mask
        if pair.objects:
            return _of_objects(pair.objects(), picture)
        raw, kind = pair.read_mask(colours)
        if pair.draw is None and colours is None and kind in ("grey 8 bit", "grey 16 bit"):
            records.check_label(path.read_bytes(), raw)
    except ValueError as error:
        raise ValueError(f"{pair.where(path)} {error}") from None
    if raw.shape != (height, width):
        raise ValueError(
            f"{pair.where(pair.mask)} is {raw.shape[0]} x {raw.shape[1]}, but its image is "
            f"{height} x {width}{_turned(pair, picture.orientation)}"
        )
    return Facts(height, width, kind, count_ids(raw), picture.orientation)


def _of_objects(objects: Objects, picture: pixels.Picture) -> Facts:
    """As `inspect`; the size is checked where the objects were read with one."""
    height, width = picture.pixels.shape[:2]
    if objects.size != (height, width):
        raise ValueError(
            f"has objects of an image of {objects.size[0]} x {objects.size[1]}, which is "
            f"{height} x {width}"
        )
    counts: dict[int, int] = {}
    for i, category in enumerate(objects.classes.tolist()):
        counts[category] = counts.get(category, 0) + int(rle.area(objects.encoded(i)))
    return Facts(height, width, "objects", counts, picture.orientation)


def count_ids(raw: np.ndarray) -> dict[int, int]:
    """How many pixels each raw id has; `np.bincount`, but ten times as fast for 8 bits.

    Args:
      raw: uint8 or uint16 [H, W].
    """
    if raw.dtype == np.uint8 and raw.size <= _EXACT:
        counts = cv2.calcHist([raw], [0], None, [256], [0, 256]).ravel()
    else:
        counts = np.bincount(raw.ravel())
    return {int(k): int(counts[k]) for k in np.flatnonzero(counts)}


def _turned(pair: Pair, orientation: int) -> str:
    """How EXIF tags may explain two sizes that differ."""
    parts = []
    if orientation != 1:
        parts.append(f"the image is rotated by its EXIF orientation {orientation}")
    if pair.draw is None and (own := image_file.orientation(pair.mask)) != 1:
        parts.append(f"the mask is rotated by its EXIF orientation {own}")
    if not parts:
        return ""
    return (
        f"; {' and '.join(parts)}, as in image viewers: draw the mask on the image as a viewer "
        "shows it, or save the file without the tag"
    )


class Journal:
    """The facts about the files checked so far, so that an interrupted check can continue."""

    def __init__(self, path: pathlib.Path, colours: mask_file.Colours | None) -> None:
        coding = (_READER, colours)
        self._path, self._coding = path, zlib.crc32(repr(coding).encode())
        self._known: dict[str, dict] = {}
        if path.is_file():
            for line in path.read_text().splitlines():
                try:
                    entry = json.loads(line)
                    self._known[entry["stamp"]] = entry["facts"]
                except (json.JSONDecodeError, KeyError, TypeError):
                    continue  # an incomplete line from when the process was stopped
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a")
        if path.stat().st_size:
            self._file.write("\n")

    def stamp(self, pair: Pair) -> str:
        """A stamp that changes with either file."""
        parts = [str(self._coding), str(pair.page), *(["objects"] if pair.objects else [])]
        for path in (pair.image, pair.mask):
            stat = path.stat()
            parts += [str(path.resolve()), str(stat.st_size), str(stat.st_mtime_ns)]
        return "|".join(parts)

    def facts(self, pair: Pair, colours: mask_file.Colours | None) -> Facts:
        """`inspect`, unless both files were inspected before and have not changed since."""
        try:
            stamp = self.stamp(pair)
        except OSError:
            return inspect(pair, colours)  # its error says which is missing
        if found := self._known.get(stamp):
            counts = {int(k): n for k, n in found["counts"].items()}
            return Facts(
                found["height"], found["width"], found["kind"], counts, found["orientation"]
            )
        facts = inspect(pair, colours)
        entry = {"stamp": stamp, "facts": dataclasses.asdict(facts)}
        self._file.write(json.dumps(entry) + "\n")  # one call, so that threads do not mix lines
        self._file.flush()
        return facts

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
