"""Image and mask files as they are published: what can be used, and what is said of the rest.

A mask file holds raw ids: as grey values or as palette indices; or, where the classes are given by
colour, as colours. Lossy formats are refused, for their ids cannot be trusted. A TIFF file may hold
many images or masks, its pages. Errors are reasons without the file's name, which the caller puts
before them.
"""

import hashlib
import io
import pathlib
import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import scipy.io
from PIL import Image

IMAGE_FORMATS = ("JPEG", "MPO", "PNG", "TIFF", "BMP", "GIF")  # MPO: a phone's JPEG with extras
MASK_FORMATS = ("PNG", "BMP", "TIFF", "GIF")
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif")
_ORIENTATION = 274  # the EXIF tag
Colours = Mapping[tuple[int, int, int], int]  # RGB -> raw id


def digest(names: Iterable[str]) -> str:
    """SHA-256 of names, sorted, one a line: as `sort LIST.txt | sha256sum` of a list of them."""
    return hashlib.sha256("".join(f"{name}\n" for name in sorted(names)).encode()).hexdigest()


def _opened(path: pathlib.Path, formats: Sequence[str], page: int = 0) -> Image.Image:
    """The decoded file, or a page of it.

    Raises:
      ValueError: the reason, without the file's name.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd tags and large sizes
            with Image.open(path) as image:
                reason = _unusable(image, formats, page)
                if reason is None:
                    image.seek(page)
                    image.load()
                    return image
    except FileNotFoundError:
        raise ValueError("is missing") from None
    except Image.UnidentifiedImageError:
        raise ValueError("is no image") from None
    except Exception as error:  # of damaged files, whatever the decoder stumbles over
        raise ValueError(f"is truncated or damaged: {error}") from None
    raise ValueError(reason)


def _unusable(image: Image.Image, formats: Sequence[str], page: int) -> str | None:
    if image.format not in formats:
        reason = "lossy, its ids cannot be trusted" if formats is MASK_FORMATS else "unread"
        return f"is {image.format} ({reason}); use {', '.join(formats)}"
    if page >= (pages := getattr(image, "n_frames", 1)):
        return f"is missing: the file holds {pages} pages"
    return None


def pages(path: pathlib.Path) -> int:
    """How many images a file holds; 0: it cannot be opened."""
    try:
        with Image.open(path) as image:
            return getattr(image, "n_frames", 1)
    except Exception:  # as in `_opened`
        return 0


def image_bytes(path: pathlib.Path, page: int = 0) -> bytes:
    """JPEG or PNG bytes of an image: the file as it is; of another kind, a page of it as a PNG."""
    data = b"" if page else path.read_bytes()
    if data.startswith((b"\xff\xd8", b"\x89PNG")):
        return data
    image = _opened(path, IMAGE_FORMATS, page)
    out = io.BytesIO()
    (image if image.mode == "L" else image.convert("RGB")).save(out, "PNG")
    return out.getvalue()


def image_size(path: pathlib.Path, page: int = 0) -> tuple[int, int]:
    """(height, width) of an image that the loader can read, decoded to the last row.

    Raises:
      ValueError: the reason why it cannot be used, without the file's name.
    """
    image = _opened(path, IMAGE_FORMATS, page)
    if image.mode.startswith(("I", "F")):
        raise ValueError("has more than 8 bits a channel: convert it to 8")
    turned = image.getexif().get(_ORIENTATION, 1)
    if turned != 1:
        raise ValueError(
            f"has the EXIF orientation {turned}, which viewers follow and masks may or may not: "
            "save it turned, without the tag"
        )
    return image.height, image.width


def png_header(path: pathlib.Path) -> tuple[int, int] | None:
    """(bits a channel, colour type: 0 for grey) of a PNG file, None for any other."""
    with path.open("rb") as file:
        start = file.read(26)
    return (start[24], start[25]) if start[:8] == b"\x89PNG\r\n\x1a\n" else None


def _codes(rgb: np.ndarray) -> np.ndarray:
    return rgb.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)  # [H, W]


def _listed(codes: np.ndarray, most: int = 8) -> str:
    """Colours and their numbers of pixels, the most frequent first."""
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
        raise ValueError(f"holds colours that no class has: {_listed(codes[wrong])}")
    return np.array([raw for _, raw in known], np.uint8)[place]


def _from_mat(path: pathlib.Path) -> np.ndarray:
    """The ids of a MATLAB file of PASCAL-Context (LabelMap), SBD (GTcls) or COCO-Stuff (S)."""
    if not path.is_file():
        raise ValueError("is missing")
    try:
        content = scipy.io.loadmat(path)
    except NotImplementedError:
        raise ValueError("is a MATLAB file of version 7.3: save it as version 7") from None
    except Exception as error:  # of damaged files, whatever the parser stumbles over
        raise ValueError(f"is no MATLAB file or damaged: {error}") from None
    try:
        if "GTcls" in content:
            ids = content["GTcls"][0, 0]["Segmentation"]
        else:
            ids = content["LabelMap"] if "LabelMap" in content else content["S"]
    except (KeyError, IndexError, ValueError):
        raise ValueError("holds none of LabelMap, GTcls.Segmentation and S") from None
    if "S" in content and np.size(content.get("names", ())) == 172:
        raise ValueError("is of version 1.0 of COCO-Stuff, whose ids are others: take version 1.1")
    if ids.ndim != 2 or ids.min() < 0 or ids.max() > 65535:
        raise ValueError("holds no map of ids from 0 to 65535")
    return ids.astype(np.uint16)


def read_mask(
    path: pathlib.Path, colours: Colours | None = None, page: int = 0
) -> tuple[np.ndarray, str]:
    """Raw ids of a mask file and how it codes them.

    Args:
      path: the file; a name that ends in .mat: MATLAB's, of PASCAL-Context, SBD, COCO-Stuff.
      colours: RGB -> raw id: the mask is read by its colours; None: by its numbers.
      page: of the file.

    Returns:
      uint8 or uint16 [H, W], and the kind: "grey 8 bit", "palette", "colours" ...

    Raises:
      ValueError: the reason why it cannot be used, without the file's name.
    """
    if path.suffix == ".mat":
        return _from_mat(path), "MATLAB"
    image = _opened(path, MASK_FORMATS, page)
    if colours is not None:
        return _from_colours(np.asarray(image.convert("RGB")), colours), "colours"
    if image.mode == "P":
        return np.asarray(image), "palette"
    if image.mode in ("L", "1"):
        header = png_header(path)
        bits = header[0] if header else 8
        if image.mode == "1":
            return np.asarray(image).astype(np.uint8), "grey 1 bit"
        stretched = 255 // (2**bits - 1)  # Pillow spreads 2 and 4 bits over 0 ... 255
        return np.asarray(image) // np.uint8(stretched), f"grey {bits} bit"
    if image.mode.startswith("I"):
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > 65535:
            raise ValueError("holds numbers outside 0 ... 65535")
        return wide.astype(np.uint16), "grey 16 bit"
    if image.mode in ("RGB", "RGBA", "LA"):
        pixels = np.asarray(image.convert("RGB"))
        if (pixels == pixels[..., :1]).all():
            return np.ascontiguousarray(pixels[..., 0]), "grey as RGB"
        raise ValueError(
            "is coded by colours: give each class its colour (NAME RED GREEN BLUE); it holds "
            + _listed(_codes(pixels))
        )
    raise ValueError(f"has pixels of the kind {image.mode}, which no mask has")
