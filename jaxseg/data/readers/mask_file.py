"""Reads the ids in published mask files, or raises with the reason why they are unclear.

A mask file holds raw ids, as grey values or as palette indices, or colours, if the classes are
defined by colours.

They are read at full depth, and rotated by an EXIF orientation like images. Ambiguous files are
refused: lossy formats, alpha channels, animations. Errors are reasons without the file's name, to
which the caller adds it. docs/images_and_masks.md has a table of the rules.
"""

import hashlib
import pathlib
from collections.abc import Iterable, Mapping

import numpy as np
import scipy.io

from jaxseg.data.readers import image_file
from jaxseg.data.readers.image_samples import Samples

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".gif", ".webp")
MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")
Colours = Mapping[tuple[int, int, int], int]  # RGB -> raw id
UNKNOWN_COLOURS = "holds colours that no class has"  # the beginning of the error of such a mask
pages = image_file.pages


def digest(names: Iterable[str]) -> str:
    """SHA-256 of sorted names, one per line, like `sort LIST.txt | sha256sum`."""
    return hashlib.sha256("".join(f"{name}\n" for name in sorted(names)).encode()).hexdigest()


def _codes(rgb: np.ndarray) -> np.ndarray:
    return rgb.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)  # [H, W]


def _listed(codes: np.ndarray, most: int = 8) -> str:
    """Colours and their pixel counts, the most frequent first."""
    found, counts = np.unique(codes, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:most]
    names = [
        f"{c >> 16},{c >> 8 & 255},{c & 255} ({n} pixels)"
        for c, n in zip(found[order].tolist(), counts[order].tolist(), strict=True)
    ]
    return ", ".join(names) + (f" and {len(found) - most} more" if len(found) > most else "")


def _from_colours(rgb: np.ndarray, colours: Colours) -> np.ndarray:
    codes = _codes(rgb)
    known = sorted((r * 65536 + g * 256 + b, raw) for (r, g, b), raw in colours.items())
    keys = np.array([key for key, _ in known], np.uint32)
    place = np.minimum(np.searchsorted(keys, codes), len(keys) - 1)
    if (wrong := keys[place] != codes).any():
        raise ValueError(f"{UNKNOWN_COLOURS}: {_listed(codes[wrong])}")
    return np.array([raw for _, raw in known], np.uint8)[place]


def _from_mat(path: pathlib.Path) -> np.ndarray:
    """The ids of a MATLAB file of PASCAL-Context (LabelMap), SBD (GTcls) or COCO-Stuff (S)."""
    if not path.is_file():
        raise ValueError("is missing")
    try:
        content = scipy.io.loadmat(path)
    except NotImplementedError:
        raise ValueError("is a MATLAB file of version 7.3: save it as version 7") from None
    except Exception as error:  # the parser may raise anything for damaged files
        raise ValueError(f"is not a MATLAB file, or damaged: {error}") from None
    try:
        if "GTcls" in content:
            ids = content["GTcls"][0, 0]["Segmentation"]
        else:
            ids = content["LabelMap"] if "LabelMap" in content else content["S"]
    except (KeyError, IndexError, ValueError):
        raise ValueError("holds neither LabelMap nor GTcls.Segmentation nor S") from None
    if "S" in content and np.size(content.get("names", ())) == 172:
        raise ValueError(
            "is from version 1.0 of COCO-Stuff, which has different ids: use version 1.1"
        )
    ids = np.asarray(ids)
    if ids.ndim != 2 or not ids.size or ids.dtype.kind not in "biuf":
        raise ValueError("does not hold a map of ids from 0 to 65535")
    if not ((ids >= 0) & (ids <= 65535)).all() or (ids != np.floor(ids)).any():
        raise ValueError("holds numbers that are not ids from 0 to 65535")
    return ids.astype(np.uint16)


def _check_mask(samples: Samples) -> None:
    """Raises if the id of a pixel is ambiguous.

    Raises:
      ValueError: the reason.
    """
    if samples.lossy:
        inside = f" with {samples.lossy} compression" if samples.format == "TIFF" else ""
        raise ValueError(
            f"is {samples.format}{inside} (lossy, its ids cannot be trusted); save the mask as "
            "PNG, TIFF, BMP or GIF"
        )
    if samples.converted:
        raise ValueError(f"has {samples.converted} colours: save it as greyscale ids or as RGB")
    if samples.zero_is_white:
        raise ValueError(
            "is a TIFF in which 0 is white (photometric interpretation 0), so that programs read "
            "different ids: save it so that 0 is black"
        )
    if samples.alpha is None:
        return
    clear = int((samples.alpha != samples.white).sum())
    if not clear:
        return
    flat = samples.values.reshape(samples.alpha.size, -1)
    if (flat == flat[:1]).all():
        raise ValueError(
            "has its shape in the alpha channel, and a uniform colour: save the alpha channel as "
            "a greyscale file, and name the ids that it holds"
        )
    raise ValueError(
        f"is transparent in {clear} pixels, whose class is unknown: save it without an alpha "
        "channel, with the colour or id of a class there"
    )


def _eight_bit_rgb(samples: Samples) -> np.ndarray:
    """The colours of a mask, uint8 [H, W, 3].

    Raises:
      ValueError: they have no 8-bit equivalent, or differ only in transparency.
    """
    values = samples.values
    if samples.palette is not None:
        used = np.unique(values)
        if used.max(initial=0) >= len(samples.palette):
            raise ValueError(
                f"holds the palette index {used.max()}, but its palette has {len(samples.palette)} "
                "colours: save it as RGB"
            )
        entries = np.unique(samples.palette[used], axis=0)
        if len(np.unique(entries[:, :3], axis=0)) < len(entries):
            raise ValueError(
                "has palette entries of the same colour that differ only in transparency: give "
                "the transparent entry the colour of a class"
            )
        return samples.palette[values][..., :3]
    if samples.white == 0 or (255 * values.astype(np.int64) % samples.white).any():
        raise ValueError(
            "has colours with more than 8 bits, which no class has: save it with 8 bits"
        )
    scaled = (255 * values.astype(np.int64) // samples.white).astype(np.uint8)
    return scaled if scaled.ndim == 3 else np.repeat(scaled[..., None], 3, axis=2)


def _from_numbers(samples: Samples) -> tuple[np.ndarray, str]:
    values = samples.values
    if samples.palette is not None:
        return values, "palette"
    if values.ndim == 3:
        if not (values == values[..., :1]).all():
            colours = _scaled_for_message(samples)
            raise ValueError(
                "is encoded by colours: give each class its colour (NAME RED GREEN BLUE); it holds "
                + _listed(_codes(colours))
            )
        return np.ascontiguousarray(values[..., 0]), "grey as RGB"
    if samples.white == 0:
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("holds numbers outside 0 ... 65535")
        return values.astype(np.uint16), "grey 32 bit"
    return values, f"grey {samples.white.bit_length()} bit"


def _scaled_for_message(samples: Samples) -> np.ndarray:
    return (samples.values.astype(np.int64) * 255 // max(samples.white, 1)).astype(np.uint8)


def read_mask(
    path: pathlib.Path, colours: Colours | None = None, page: int | None = None
) -> tuple[np.ndarray, str]:
    """Reads the raw ids of a mask file and how it encodes them.

    Args:
      path: the file; .mat for MATLAB files of PASCAL-Context, SBD and COCO-Stuff.
      colours: RGB -> raw id, to read the mask by colours; None: by values.
      page: of the file, from 0; None: it must hold one.

    Returns: uint8 or uint16 [H, W], and the encoding: "grey 8 bit", "palette", "colours" ...

    Raises:
      ValueError: the reason why it cannot be used, without the file's name.
    """
    if path.suffix == ".mat":
        return _from_mat(path), "MATLAB"
    samples = image_file.read(path, page)
    _check_mask(samples)
    if colours is not None:
        return _from_colours(_eight_bit_rgb(samples), colours), "colours"
    return _from_numbers(samples)
