"""Prepares a data set once: published files -> array_record under DATA_DIR/NAME/VERSION.

    python -m jaxseg.data.prepare --name=shapes
    python -m jaxseg.data.prepare --name=shapes/thin
    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.data.prepare --name=voc2012 --manual_dir=VOCDEVKIT
    python -m jaxseg.data.prepare --name=cityscapes/coarse --manual_dir=CITYSCAPES
    python -m jaxseg.data.prepare --name=folder/mine --images=IMAGES --masks=MASKS --classes=FILE

Nothing is ever downloaded. A set that is complete is left alone; one that was interrupted starts
again, but files that were already checked are not decoded again. Exit status: 0 done, 1 refused
with what is wrong, 2 a wrong flag.
"""

import contextlib
import io
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Sequence

import tensorflow_datasets as tfds
from absl import app, flags, logging

from jaxseg.data import builders, pairs
from jaxseg.data import source as sources
from jaxseg.data.builders import (
    ade20k,
    camvid,
    camvid32,
    cityscapes,
    coco_stuff,
    coco_voc,
    drive,
    isbi_em,
    oxford_iiit_pet,
    pascal_context,
    shapes,
    sun_rgbd,
    voc2011,
    voc2012,
)
from jaxseg.data.builders import folder as folders
from jaxseg.data.shapes_variants import VARIANTS
from jaxseg.errors import one_line

_NAME = flags.DEFINE_string(
    "name",
    None,
    f"Of the set: {', '.join(builders.VERSIONS)}; as folder/NAME or shapes/NAME; variants drawn "
    f"for one cause each: {', '.join(f'shapes/{name}' for name in VARIANTS)}.",
)
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Where prepared sets are kept.")
_MANUAL_DIR = flags.DEFINE_string("manual_dir", None, "Named sets: the published files.")
_IMAGES = flags.DEFINE_string("images", "", "folder/NAME: the folder of images.")
_MASKS = flags.DEFINE_string("masks", "", "folder/NAME: the folder of masks.")
_CLASSES = flags.DEFINE_string("classes", "", "folder/NAME: the file of classes, text or JSON.")
_TABLE = flags.DEFINE_string("table", "", "folder/NAME: CSV with columns image, mask, [split].")
_LISTS = flags.DEFINE_string(
    "lists", "", "folder/NAME: a folder of train.txt, val.txt, test.txt, names of images in them."
)
_IMAGE_SUFFIX = flags.DEFINE_string("image_suffix", "", "folder/NAME: ending of image names.")
_MASK_SUFFIX = flags.DEFINE_string("mask_suffix", "", "folder/NAME: ending of mask names.")
_VAL_SHARE = flags.DEFINE_float("val_share", 0.1, "folder/NAME: of files that tell no split.")
_SEED = flags.DEFINE_integer("data_seed", 0, "shapes/NAME, folder/NAME: of what is drawn.", 0)
_SIZE = flags.DEFINE_integer(
    "shapes_size", None, "shapes/NAME: height and width; unless given 128, 64 of a variant.", 32
)
_TRAIN = flags.DEFINE_integer(
    "shapes_train", None, "shapes/NAME: training examples; unless given 1600, 800 of a variant.", 1
)
_VAL = flags.DEFINE_integer(
    "shapes_val", None, "shapes/NAME: validation examples; unless given 200.", 1
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Prepare again what is there.")
_EXPORT = flags.DEFINE_string("export", None, "Also write images as files to this folder.")
_EXPORT_SPLIT = flags.DEFINE_string("export_split", "val", "--export: from this split.")
_EXAMPLES = flags.DEFINE_integer("examples", 8, "--export: how many, evenly over the split.", 1)

_SETS = {
    module.SET.kind: module.SET
    for module in (
        ade20k,
        camvid,
        camvid32,
        cityscapes,
        coco_stuff,
        coco_voc,
        drive,
        isbi_em,
        oxford_iiit_pet,
        pascal_context,
        sun_rgbd,
        voc2011,
        voc2012,
    )
}


def _manual_dir(kind: str) -> pathlib.Path:
    """The folder of published files.

    Raises:
      FileNotFoundError: not given, or not there.
    """
    given = _MANUAL_DIR.value
    if not given or not pathlib.Path(given).expanduser().is_dir():
        what = f"--manual_dir={given} is no folder" if given else "--manual_dir is missing"
        raise FileNotFoundError(
            f"{kind}: {what}; it names the folder with the published files (nothing is "
            f"downloaded): {_SETS[kind].layout}"
        )
    return pathlib.Path(given).expanduser()


def _folder_config(name: str) -> folders.FolderConfig:
    return folders.FolderConfig(
        name=name.partition("/")[2],
        images=_IMAGES.value,
        masks=_MASKS.value,
        classes=_CLASSES.value,
        table=_TABLE.value,
        lists=_LISTS.value,
        image_suffix=_IMAGE_SUFFIX.value,
        mask_suffix=_MASK_SUFFIX.value,
        val_share=_VAL_SHARE.value,
        seed=_SEED.value,
    )


def shapes_config(own: str) -> shapes.ShapesConfig:
    """A variant, or the default drawing under a name of one's own; flags that are given win."""
    standard = VARIANTS.get(own, shapes.ShapesConfig(name=own))
    return shapes.ShapesConfig(
        name=own,
        size=_SIZE.value or standard.size,
        train=_TRAIN.value or standard.train,
        val=_VAL.value or standard.val,
        seed=_SEED.value,
        draw=standard.draw,
    )


def names_published_files() -> bool:
    """Whether the flags name published files, not only a prepared set."""
    return any(flag.value for flag in (_MANUAL_DIR, _IMAGES, _MASKS, _TABLE))


def find(name: str, *, need_classes: bool = True) -> pairs.Published:
    """The published files that the flags name, for every set but shapes.

    Args:
      name: of the set.
      need_classes: False: folder/NAME does without a file of classes.

    Raises:
      FileNotFoundError: they are not there.
      ValueError: they do not fit together.
    """
    kind = sources.check_name(name)
    if kind == "folder":
        return folders.find(_folder_config(name), need_classes=need_classes)
    if kind not in _SETS:
        raise ValueError(f"{name} has no published files")
    return _SETS[kind].find(name.partition("/")[2], _manual_dir(kind))


def _build(name: str, data_dir: pathlib.Path) -> None:
    """Runs the TFDS builder; its progress bars go to stderr, TFDS's own remarks nowhere."""
    kind, _, own = name.partition("/")
    builder: tfds.core.DatasetBuilder
    if kind == "shapes":
        config = shapes_config(own) if own else None
        builder = shapes.Shapes(data_dir=data_dir, config=config, file_format="array_record")
    else:
        print(f"{name}: {find(name).counts()}")
        if kind == "folder":
            builder = folders.Folder(
                data_dir=data_dir, config=_folder_config(name), file_format="array_record"
            )
        else:
            builder = _SETS[kind].builder(own, data_dir)
    manual = _manual_dir(kind) if kind in _SETS else None
    options = tfds.download.DownloadConfig(manual_dir=manual)
    with tempfile.TemporaryDirectory() as nowhere, contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(download_dir=nowhere, download_config=options)


def _check_writable(data_dir: pathlib.Path) -> None:
    """Makes the folder; of one that cannot be written to, TFDS would say that the disk is full."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    except OSError as error:
        raise ValueError(f"--data_dir={data_dir} cannot be written to: {error.strerror}") from None


def parse_flags(arguments: list[str]) -> list[str]:
    """absl's flag parsing; a wrong flag becomes one line and exit status 2."""
    try:
        return flags.FLAGS(arguments)
    except flags.Error as error:
        print(f"jaxseg: {error}", file=sys.stderr)
        sys.exit(2)


def describe(folder: pathlib.Path, name: str) -> str:
    """One line for a prepared set: its splits, their counts and sizes, its classes."""
    parts = []
    classes = 0
    for split in sources.splits(folder):
        opened = sources.Source(name, split, folder)  # verifies the count
        height, width = opened.largest
        parts.append(f"{split} {len(opened)} (up to {height} x {width})")
        classes = opened.labels.num_classes
    return f"{name}: {', '.join(parts)}; {classes} classes; in {folder}"


def prepare(name: str, data_dir: pathlib.Path, *, overwrite: bool = False) -> pathlib.Path:
    """Prepares the set and returns its folder; what is complete is left alone.

    Raises:
      ValueError: unknown set, or files that are wrong, all of them named.
      FileNotFoundError: the published files are not where they are said to be.
    """
    folder = sources.prepared_folder(name, data_dir)
    if sources.is_prepared(folder) and not overwrite:
        print(f"Already prepared: {describe(folder, name)}")
        return folder
    _check_writable(data_dir)
    before = folder.with_name(f"{folder.name}.before")
    for leftover in [*folder.parent.glob(f"{folder.name}.incomplete*"), before]:
        shutil.rmtree(leftover, ignore_errors=True)
    if folder.exists():
        folder.rename(before)  # kept until the new one is complete
    try:
        _build(name, data_dir)
    except BaseException:
        if before.exists():
            before.rename(folder)
        raise
    shutil.rmtree(before, ignore_errors=True)
    (folder.parent / "checked.jsonl").unlink(missing_ok=True)
    print(f"Prepared {describe(folder, name)}")
    return folder


def export(folder: pathlib.Path, name: str, output: pathlib.Path) -> None:
    """Writes the images of some examples as files, as published, to try prediction on."""
    split = _EXPORT_SPLIT.value
    opened = sources.Source(name, split, folder)
    output.mkdir(parents=True, exist_ok=True)
    count = min(_EXAMPLES.value, len(opened))
    for k in range(count):
        example = opened.encoded(k * len(opened) // count)
        suffix = ".jpg" if example["image"][:2] == b"\xff\xd8" else ".png"
        (output / f"{pathlib.PurePath(example['name']).name}{suffix}").write_bytes(example["image"])
    print(f"{count} images of {split} in {output}")


def main(arguments: Sequence[str]) -> int:
    """Prepares; an error that the user can mend becomes one line."""
    if len(arguments) > 1 or not _NAME.value:
        wrong = f"{arguments[1]!r} is no flag" if len(arguments) > 1 else "--name is missing"
        print(f"jaxseg: {wrong}; see --help", file=sys.stderr)
        return 2
    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()  # the builders have their own, with rate and remaining time
    try:
        folder = prepare(
            _NAME.value, pathlib.Path(_DATA_DIR.value).expanduser(), overwrite=_OVERWRITE.value
        )
        if _EXPORT.value:
            export(folder, _NAME.value, pathlib.Path(_EXPORT.value))
    except (ValueError, OSError) as error:
        print(f"jaxseg: {one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("jaxseg: interrupted; the same command goes on", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    app.run(main, flags_parser=parse_flags)
