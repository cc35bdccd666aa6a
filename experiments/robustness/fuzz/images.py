"""Image, mask, class and pair files with arbitrary bytes, through the readers of folder/NAME."""

import dataclasses
import io
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import hypothesis.strategies as st
import numpy as np
from PIL import Image

from jaxseg.data import records
from jaxseg.data.builders import folder as folders
from jaxseg.data.labels import LabelSpec
from jaxseg.data.pairing import pairs
from jaxseg.data.readers import mask_file, photos, pixels

_MODES = ("L", "RGB", "RGBA", "LA", "P", "1", "I;16", "CMYK", "I", "F", "YCbCr")
_FORMATS = ("PNG", "PNG", "PNG", "JPEG", "BMP", "TIFF", "GIF", "WEBP")
_CLASSES = b"sky\nroad\nvoid\n"
_ORIENTATION = 274


@dataclasses.dataclass(frozen=True)
class Case:
    """The contents of the folder."""

    image: bytes
    mask: bytes
    classes: bytes
    table: bytes | None  # None: images and masks are in two folders
    image_name: str
    mask_name: str
    classes_name: str


@st.composite
def _drawn(draw: st.DrawFn, mask: bool) -> bytes:
    """A file of a drawn format, size, mode and content, as encoders write it."""
    height, width = draw(st.tuples(*[st.sampled_from([1, 2, 7, 8, 9, 16])] * 2))
    if draw(st.integers(0, 3)):
        height, width = 8, 9
    mode = draw(st.sampled_from(_MODES[:1] * 6 + _MODES if mask else _MODES[1:2] * 6 + _MODES))
    highest = draw(st.sampled_from([3, 3, 3, 4, 255]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    values = rng.integers(0, highest, (height, width))
    if mode == "I;16":
        picture = Image.fromarray(values.astype(np.uint16) * draw(st.sampled_from([1, 200])))
    elif mode in ("I", "F"):
        picture = Image.fromarray(values.astype(np.int32 if mode == "I" else np.float32))
    elif mode in ("L", "1"):
        picture = Image.fromarray(values.astype(np.uint8)).convert(mode)
    elif mode == "P":
        picture = Image.fromarray(values.astype(np.uint8))
        picture.putpalette(list(rng.integers(0, 256, 3 * draw(st.sampled_from([2, 4, 256])))))
    else:
        colours = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        picture = Image.fromarray(colours).convert(mode)
    exif = Image.Exif()
    if draw(st.integers(0, 19)) == 0:
        exif[_ORIENTATION] = draw(st.integers(0, 9))
    kind = draw(st.sampled_from(_FORMATS))
    out = io.BytesIO()
    try:
        picture.save(out, kind, exif=exif) if exif else picture.save(out, kind)
    except (OSError, ValueError, KeyError):  # this format has no such mode
        out = io.BytesIO()
        picture.convert("RGB").save(out, kind)
    return out.getvalue()


@st.composite
def _bytes(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """A file, intact or damaged: cut, with bytes changed, inserted or removed, or any bytes."""
    harm = draw(st.sampled_from(["none", "none", "cut", "changed", "put in", "taken", "any"]))
    data = bytearray(draw(whole))
    if harm == "any":
        return draw(st.binary(max_size=64))
    if harm == "none" or not data:
        return bytes(data)
    at = draw(st.integers(0, len(data) - 1))
    if harm == "cut":
        return bytes(data[:at])
    if harm == "put in":
        return bytes(data[:at]) + draw(st.binary(min_size=1, max_size=16)) + bytes(data[at:])
    if harm == "taken":
        return bytes(data[:at] + data[at + draw(st.integers(1, 16)) :])
    # The first bytes hold sizes and formats; most changes are made there.
    places = st.integers(0, min(64, len(data) - 1)) | st.integers(0, len(data) - 1)
    for place in draw(st.lists(places, min_size=1, max_size=6)):
        data[place] = draw(st.integers(0, 255) | st.sampled_from([0, 255, 128, 127]))
    return bytes(data)


_TEXT = st.sampled_from(
    [
        *(_CLASSES, b"0 sky\n1 road\n2 void\n", b"sky 1 2 3\nroad 4 5 6\nx 0 0 0\n", b"sky\nsky\n"),
        *(b'["sky", "road", "x"]', b'[{"name": "sky", "id": 0}, {"name": "road", "id": 1}]', b""),
        *(b'[{"name": "a", "color": [1, 2, 3], "id": "x"}]', b'{"names": ["a"]}', b"3", b"null"),
        *(b'[{"name": null, "color": 5}]', b'[{"name": "a", "id": -1}]', b"70000 a\n", b"# none\n"),
        *(b'[["a"]]', b'[{"name": "a", "color": [1.5, 2, 3]}]', b'[{"name": "a", "id": [1]}]'),
        "\n".join(f"class {k}" for k in range(300)).encode(),
        *(b"name,r,g,b\nsky,1,2,3\nroad,4,5,6\n", b"id;name\n0;sky\n1;road\n2;x\n"),
        *(b"\xef\xbb\xbfsky\r\nroad\r\nvoid\r\n", "sky\nroad\nx\n".encode("utf-16")),
        *(b"0: sky\n1: road\n2: x\n", b"sky #010203\nroad #040506 # kerb\n", b'"sky"\n"a 1"\nx\n'),
        *(
            b"# label:color_rgb:parts:actions\nsky:1,2,3::\nroad:4,5,6::\n",
            b"__ignore__\nsky\nroad\n",
        ),
        *(
            b'{"categories": [{"id": 0, "name": "sky"}, {"id": 1, "name": "road"}]}',
            b'{"0": "sky"}',
        ),
        *(b'{"sky": [1, 2, 3], "road": [4, 5, 6]}', b"nc: 2\nnames: [sky, road]\n"),
        *(b"names:\n  0: sky\n  1: road\n  2: x\n", b"names: {0: sky, 0: road}\n", b"&a [*a]\n"),
    ]
)
_TABLES = st.sampled_from(
    [
        *(
            b"image,mask\nimages/a.png,masks/a.png\n",
            b"image,mask,split\n",
            b"image\nimages/a.png\n",
        ),
        *(b"image,mask,split\nimages/a.png,masks/a.png,val\n", b"image,mask\nimages/a.png\n", b""),
        *(b"image,mask\nimages/none.png,..\n", b'image,mask\n"images/a.png,masks/a.png\n'),
        *(b"image,mask,split\nimages/a.png,masks/a.png,other\n", b"image,mask\n,\n"),
        *(b"image,mask,split\nimages/a.png,masks/a.png,train,3\n", b"image,mask\nimages,masks\n"),
        *(b"\xef\xbb\xbfmask;image\r\nmasks\\a.png;images\\a.png\r\n", b"image\tmask\na\tb\n"),
        b"image,mask\nimages/a.png,images/a.png\n",
    ]
)


def _png(picture: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "PNG")
    return out.getvalue()


_RNG = np.random.default_rng(0)
_IMAGE = _png(_RNG.integers(0, 256, (8, 9, 3), dtype=np.uint8))
_MASK = _png(_RNG.integers(0, 3, (8, 9), dtype=np.uint8))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A valid pair of files with its class file and list, of which one or two are replaced."""
    parts = ["image", "image", "mask", "mask", "mask", "classes", "table", "names"]
    harmed = draw(st.sets(st.sampled_from(parts), min_size=1, max_size=2))
    names = ["a.png", "a.jpg", "a.jpeg", "b.png", "A.PNG"], ["a.png", "a.bmp", "a.tif", "a.gif"]
    return Case(
        image=draw(_bytes(_drawn(False))) if "image" in harmed else _IMAGE,
        mask=draw(_bytes(_drawn(True))) if "mask" in harmed else _MASK,
        classes=draw(_bytes(_TEXT)) if "classes" in harmed else _CLASSES,
        table=draw(_bytes(_TABLES)) if "table" in harmed else None,
        image_name=draw(st.sampled_from(names[0])) if "names" in harmed else "a.png",
        mask_name=draw(st.sampled_from(names[1])) if "names" in harmed else "a.png",
        classes_name=f"classes.{draw(st.sampled_from(['txt', 'txt', 'csv', 'json', 'yaml']))}"
        if "classes" in harmed
        else "classes.txt",
    )


def prepare(case: Case, root: pathlib.Path) -> None:
    """Writes the files, checks them as in preparation, and reads them as in training.

    Raises:
      ValueError, OSError: the files are refused.
      AssertionError: a refusal names no file, or the result is not a valid example.
    """
    shutil.rmtree(root, ignore_errors=True)
    for name, data in (
        (f"images/{case.image_name}", case.image),
        (f"masks/{case.mask_name}", case.mask),
        (case.classes_name, case.classes),
        ("table.csv", case.table),
    ):
        if data is not None:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
    set_of_files = folders.FolderConfig(
        name="fuzz",
        images=str(root / "images") if case.table is None else "",
        masks=str(root / "masks") if case.table is None else "",
        table="" if case.table is None else str(root / "table.csv"),
        classes=str(root / case.classes_name),
        val_share=0.0,
    )
    try:
        published = folders.find(set_of_files)
        pairs.check(published, root / "checked.jsonl")
    except (ValueError, OSError) as error:
        named = (str(root), ".png", "lists no images")  # a table may contain absolute paths
        if not any(part in str(error) for part in named):
            raise AssertionError(f"names no file: {error}") from error
        raise
    try:
        for split in published.splits:
            for _, example in pairs.examples(published, split):
                _read(example, published.labels)
    except (ValueError, OSError) as error:
        raise AssertionError(f"was found good before: {error}") from error


def _read(example: Mapping[str, Any], labels: LabelSpec) -> None:
    image = records.decode_image(example["image"].getvalue(), "image")
    label = labels.encode(records.decode_label(example["label"].getvalue(), "label"), "label")
    assert image.dtype == label.dtype == np.uint8
    assert image.shape == (*label.shape, 3), (image.shape, label.shape)


def predict(data: bytes, root: pathlib.Path) -> None:
    """Reads one file as in prediction.

    Raises:
      ValueError: the file is refused.
    """
    root.mkdir(parents=True, exist_ok=True)
    file = root / "photo.png"
    file.write_bytes(data)
    image = photos.read(file)
    kept = records.decode_image(pixels.stored(file), "image")
    assert np.array_equal(kept, image), "preparation keeps other pixels"
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert mask_file.pages(file) >= 0


def photographs() -> st.SearchStrategy[bytes]:
    """Files to predict."""
    return _bytes(_drawn(False))
