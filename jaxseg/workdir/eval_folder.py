"""Names of the files that an evaluation writes to RUN/eval.

TAG.json                       step, protocol, confusion matrix, metrics, each image
TAG.npz                        the confusion matrix of each image; see jaxseg.workdir.per_image
TAG/{best,worst}_N_NAME.png    image, truth, prediction and errors, with legends

That of a detector writes:

TAG.json                       step, protocol, COCO's numbers, curves, each image
TAG.npz                        the detections after matching; see jaxseg.workdir.match_file
TAG/{bbox,segm}.json           the detections in COCO's results format
TAG/truth.json                 the truth in COCO's format, with the same ids
TAG/classes.npz                the confusion matrix of each image, if eval.semantic was set
TAG/{best,worst}_N_NAME.png    truth and detections
"""

import io
import pathlib
import re

from PIL import Image

from jaxseg import config
from jaxseg.workdir import files

CLASSES = "classes.npz"
_PICTURE = re.compile(r"(?P<kind>best|worst)_(?P<place>\d+)_(?P<name>.+)\.png")


def tag(split: str, protocol: config.Eval) -> str:
    """A file name that distinguishes protocols: "val_os8_ms0.5-0.75-1_flip".

    Raises:
      ValueError: a split or field contains a slash, which would lead to another folder.
    """
    parts = [split]
    if protocol.output_stride:
        parts.append(f"os{protocol.output_stride}")
    if any(protocol.size):
        parts.append("x".join(map(str, protocol.size)))
    if tuple(protocol.scales) != (1.0,):
        parts.append("ms" + "-".join(f"{scale:g}" for scale in protocol.scales))
    if protocol.flip:
        parts.append("flip")
    if protocol.rotations > 1:
        parts.append(f"turn{protocol.rotations}")
    if protocol.fusion != "probabilities":
        parts.append(f"by-{protocol.fusion}")
    if protocol.long_side:
        parts.append(f"long{protocol.long_side}")
    if protocol.short_side:
        parts.append(f"short{protocol.short_side}")
    if protocol.sliding:
        crop = "x".join(map(str, protocol.crop_size))
        parts.append(f"slide{crop}-{protocol.stride:.3g}")
    if protocol.margin:
        parts.append(f"margin{protocol.margin}")
    if protocol.border != "mean":
        parts.append(protocol.border)
    if protocol.crf:
        parts.append("crf-" + protocol.crf.replace(",", "-"))
        parts += [protocol.crf_filter] * (protocol.crf_filter != "lattice")
        parts += [protocol.crf_normalization] * (protocol.crf_normalization != "per_pixel")
    if protocol.stuff_area != config.Eval.stuff_area:
        parts.append(f"stuff{protocol.stuff_area}")
    if not protocol.use_ema:
        parts.append("no-ema")
    if protocol.examples:
        parts.append(f"first{protocol.examples}")
    name = "_".join(parts)
    if "/" in name or "\0" in name:
        raise ValueError(
            f"{name!r} cannot be the name of an evaluation's file: set data.eval_split"
        )
    return name


def picture_name(kind: str, place: int, name: str) -> str:
    """The file name of a picture; `picture_parts` is the inverse."""
    return f"{kind}_{place}_{re.sub(r'[^0-9A-Za-z.+-]', '_', name)}.png"


def picture_parts(path: pathlib.Path) -> tuple[str, int, str] | None:
    """(kind, place, name) of a picture's file; None for any other file."""
    match = _PICTURE.fullmatch(path.name)
    return (match["kind"], int(match["place"]), match["name"]) if match else None


def is_picture(path: pathlib.Path) -> bool:
    """Whether the file is a complete PNG."""
    try:
        with Image.open(io.BytesIO(files.read_bytes(path)), formats=["PNG"]) as opened:
            opened.verify()
    except Exception:  # Pillow raises nearly any type for a damaged file
        return False
    return True


def clear_pictures(folder: pathlib.Path) -> None:
    """Creates the folder, and removes the pictures of an earlier evaluation."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if picture_parts(path):
            path.unlink()
