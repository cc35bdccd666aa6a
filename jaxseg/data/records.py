"""The format of a prepared example, which all builders write.

Per example: `image` (JPEG or PNG bytes: unchanged if the file is plain, see `pixels`, else a PNG of
its pixels), `label` (greyscale PNG of raw ids, 8 or 16 bits; in instance sets the text of the
objects, see `jaxseg.data.instances`), in instance sets with `LabelSpec.stuff` perhaps `stuff` (a
greyscale PNG of raw ids, 8 bits), and `name`. Per set: the LabelSpec and the largest height and
width of each split, which TFDS stores in metadata.json. A greyscale label PNG is stored byte for
byte; palette and colour-coded ones are converted to greyscale, without loss, because OpenCV reads a
palette as colours.
"""

import pathlib
import struct
from collections.abc import Mapping

import cv2
import numpy as np
import tensorflow_datasets as tfds

from jaxseg.data.labels import LabelSpec
from jaxseg.data.readers import image_headers, pixels


def info(
    builder: tfds.core.DatasetBuilder,
    labels: LabelSpec,
    homepage: str = "",
    *,
    instances: bool = False,
) -> tfds.core.DatasetInfo:
    """The TFDS description of a set whose examples stay in the order of generation."""
    ids = np.uint16 if max(labels.raw_to_train) > 255 else np.uint8
    label: tfds.features.FeatureConnector = (
        tfds.features.Text()
        if instances
        else tfds.features.Image(shape=(None, None, 1), dtype=ids, encoding_format="png")
    )
    features = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": label,
        "name": tfds.features.Text(),
    }
    if labels.stuff:
        features["stuff"] = tfds.features.Image(
            shape=(None, None, 1), dtype=np.uint8, encoding_format="png"
        )
    return tfds.core.DatasetInfo(
        builder=builder,
        features=tfds.features.FeaturesDict(features),
        homepage=homepage or None,
        disable_shuffling=True,
        metadata=tfds.core.MetadataDict(labels=labels.to_json()),
    )


def holds_instances(features: tfds.features.FeaturesDict) -> bool:
    """Whether the examples of a set are images with objects."""
    return isinstance(features["label"], tfds.features.Text)


def set_largest(builder: tfds.core.DatasetBuilder, largest: Mapping[str, tuple[int, int]]) -> None:
    """Records the largest (height, width) of each split; TFDS writes it with the last file."""
    builder.info.metadata["largest"] = {split: list(size) for split, size in largest.items()}


def journal(builder: tfds.core.DatasetBuilder) -> pathlib.Path:
    """The file in which a builder records checked files; deleted when the set is complete."""
    return pathlib.Path(builder.data_dir).parent / "checked.jsonl"


def encode_label(raw: np.ndarray) -> bytes:
    """Raw ids, uint8 or uint16 [H, W], as a grey PNG; no filters: half the size, 3x faster."""
    options = [
        *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE),
        *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT),
        *(cv2.IMWRITE_PNG_COMPRESSION, 9),
    ]
    return _png(raw, options)


def encode_image(image: np.ndarray) -> bytes:
    """An RGB image, uint8 [H, W, 3], as a PNG."""
    return pixels.encode(image)


def _png(pixels_of_it: np.ndarray, options: list[int]) -> bytes:
    done, data = cv2.imencode(".png", pixels_of_it, options)
    if not done:
        raise ValueError(f"cannot write a PNG of {pixels_of_it.dtype} {pixels_of_it.shape}")
    return data.tobytes()


def decode_image(data: bytes, where: str) -> np.ndarray:
    """Decodes an image to uint8 RGB [H, W, 3], by the rules of `pixels`.

    Raises:
      ValueError: it is not an image; `where` names it.
    """
    try:
        return pixels.decode(data)
    except ValueError as error:
        raise ValueError(f"{where}: the image cannot be decoded: it {error}") from None


def decode_label(data: bytes, where: str) -> np.ndarray:
    """Decodes a greyscale PNG to raw ids, uint8 or uint16 [H, W].

    Raises:
      ValueError: it is not a greyscale PNG; `where` names it.
    """
    raw = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if raw is None or raw.ndim != 2:
        raise ValueError(f"{where}: the label is not a grey PNG")
    return raw


def label_size(data: bytes, where: str) -> tuple[int, int]:
    """(height, width) of a greyscale PNG, without decoding it.

    Raises:
      ValueError: it is not a PNG; `where` names it.
    """
    if len(data) < 24 or not data.startswith(b"\x89PNG"):
        raise ValueError(f"{where}: the label is not a grey PNG")
    width, height = struct.unpack(">II", data[16:24])  # of the header, which comes first
    return height, width


def keeps_label(data: bytes) -> bool:
    """Whether a mask file can be stored unchanged: a plain greyscale PNG of 8 or 16 bits.

    Decoders differ for files that are transparent or rotated.
    """
    chunks = {kind for kind, _ in image_headers.png_chunks(data)}
    extra = {b"tRNS", b"eXIf", b"acTL", b"tEXt", b"zTXt", b"iTXt"}
    grey = image_headers.png_header(data) in ((8, 0), (16, 0))
    return grey and b"IEND" in chunks and not chunks & extra


def check_label(data: bytes, raw: np.ndarray) -> None:
    """Raises if training, which uses OpenCV, would read other ids from a mask.

    Args:
      data: a file; it is only checked if it is stored unchanged (`keeps_label`).
      raw: the ids that were read from it.

    Raises:
      ValueError: the reason, without the file's name.
    """
    if keeps_label(data) and not np.array_equal(decode_label(data, "as OpenCV reads it"), raw):
        raise ValueError("is damaged: Pillow and OpenCV read different ids in it")
