"""Prepares a data set once: published files -> array_record under DATA_DIR/NAME/VERSION.

    python -m jaxseg.data.prepare --name=shapes
    python -m jaxseg.data.prepare --name=shapes/thin
    python -m jaxseg.data.prepare --name=shapes/instances
    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.data.prepare --name=voc2012 --manual_dir=VOCDEVKIT
    python -m jaxseg.data.prepare --name=cityscapes/coarse --manual_dir=CITYSCAPES
    python -m jaxseg.data.prepare --name=folder/mine --images=IMAGES --masks=MASKS --classes=FILE
    python -m jaxseg.data.prepare --name=folder/mine --images=IMAGES --annotations=FILE

Nothing is ever downloaded. A complete set is left unchanged if classes, flags and files are those
that it was prepared from; otherwise the changes are reported, and --overwrite prepares it again.
The old set stays until the new one is complete. An interrupted preparation is restarted, but files
that were already checked are not decoded again.

Exit status: 0 success, 1 errors or changes, which are reported, 2 wrong flag.
"""

import contextlib
import io
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

import tensorflow_datasets as tfds
from absl import flags, logging

from jaxseg import whole_file
from jaxseg.data import source as sources
from jaxseg.data.builders import folder as folders
from jaxseg.data.builders import shapes, shapes_instances
from jaxseg.data.builders.shapes_variants import VARIANTS
from jaxseg.data.pairing import pairs
from jaxseg.data.prepare import already, named_files, replace
from jaxseg.data.prepare.named_files import (
    CLASSES,
    DATA_DIR,
    IMAGE_SUFFIX,
    INSTANCES,
    MASK_SUFFIX,
    NAME,
    SEED,
    VAL_SHARE,
)
from jaxseg.data.prepare.published_sets import SETS
from jaxseg.errors import one_line

_SIZE = flags.DEFINE_integer(
    "shapes_size", None, "shapes/NAME: height and width; default: 128, 64 for variants.", 32
)
_TRAIN = flags.DEFINE_integer(
    "shapes_train", None, "shapes/NAME: training examples; default: 1600, 800 for variants.", 1
)
_VAL = flags.DEFINE_integer(
    "shapes_val", None, "shapes/NAME: validation examples; default: 200.", 1
)
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Prepare an existing set again.")
_EXPORT = flags.DEFINE_string("export", None, "Also write images as files to this folder.")
_EXPORT_SPLIT = flags.DEFINE_string("export_split", "val", "--export: the split.")
_EXAMPLES = flags.DEFINE_integer(
    "examples", 8, "--export: number of images, evenly spaced in the split.", 1
)


def shapes_config(own: str) -> shapes.ShapesConfig:
    """The config of a variant, or the default under your own name; flags have priority."""
    standard = VARIANTS.get(own, shapes.ShapesConfig(name=own))
    if own == shapes_instances.STANDARD.name:
        standard = shapes_instances.STANDARD
    return shapes.ShapesConfig(
        name=own,
        size=_SIZE.value or standard.size,
        train=_TRAIN.value or standard.train,
        val=_VAL.value or standard.val,
        seed=SEED.value,
        draw=standard.draw,
    )


def _settings(kind: str, own: str) -> dict[str, Any]:
    """The flags that determine the examples of a set, besides published files."""
    if kind == "shapes":
        config = shapes_config(own) if own else shapes.ShapesConfig(name="shapes")
        holders = (_SIZE, _TRAIN, _VAL, SEED)
        values = (config.size, config.train, config.val, config.seed)
        return {flag.name: value for flag, value in zip(holders, values, strict=True)}
    if kind == "folder":
        flag_values = (
            IMAGE_SUFFIX,
            MASK_SUFFIX,
            VAL_SHARE,
            SEED,
        )
        settings = {flag.name: flag.value for flag in flag_values}
        return settings | ({INSTANCES.name: True} if INSTANCES.value else {})
    return {}


def _build(name: str, data_dir: pathlib.Path) -> tuple[pathlib.Path, pairs.Published | None]:
    """Runs the TFDS builder, with its progress bars on stderr and without TFDS's messages.

    Returns: The folder of the complete set, and the published files (None for a drawn set).
    """
    kind, _, own = name.partition("/")
    builder: tfds.core.DatasetBuilder
    published = None
    if kind == "shapes":
        config = shapes_config(own) if own else None
        drawn = (
            shapes_instances.ShapesInstances
            if own == shapes_instances.STANDARD.name
            else shapes.Shapes
        )
        builder = drawn(data_dir=data_dir, config=config, file_format="array_record")
    else:
        published = named_files.find(name)
        print(f"{name}: {published.counts()}")
        if kind == "folder":
            builder = folders.Folder(
                data_dir=data_dir,
                config=named_files.folder_config(name),
                file_format="array_record",
            )
        else:
            builder = SETS[kind].builder(own, data_dir)
    manual = named_files.manual_dir(kind) if kind in SETS else None
    options = tfds.download.DownloadConfig(manual_dir=manual)
    with (
        tempfile.TemporaryDirectory() as nowhere,
        contextlib.redirect_stdout(io.StringIO()),
        replace.saying_what_failed(name),
    ):
        builder.download_and_prepare(download_dir=nowhere, download_config=options)
    return pathlib.Path(builder.data_dir), published


def describe(folder: pathlib.Path, name: str) -> str:
    """One line for a prepared set: its splits, their counts and sizes, its classes."""
    parts = []
    classes = 0
    for split in sources.splits(folder):
        opened = sources.Source(name, split, folder)  # verifies the number of examples
        height, width = opened.largest
        parts.append(f"{split} {len(opened)} (up to {height} x {width})")
        classes = opened.labels.num_classes
    return f"{name}: {', '.join(parts)}; {classes} classes; in {folder}"


def _refuse_changes(name: str, folder: pathlib.Path) -> str:
    """Compares the files and flags given with those that a complete set was prepared from.

    Returns: A remark on what could not be compared, or "".

    Raises:
      ValueError: something has changed; the first changes are named.
    """
    kind, _, own = name.partition("/")
    published, settings = None, _settings(kind, own)
    if kind == "shapes":
        settings = {flag: value for flag, value in settings.items() if flags.FLAGS[flag].present}
    elif not named_files.names_published_files() and not CLASSES.value:
        return "no files are named, so none are compared"
    else:
        try:
            published = named_files.find(name)
        except FileNotFoundError as error:
            return f"its files are not compared: {one_line(error)}"
    return already.refuse_changes(folder, name, published, settings)


def prepare(name: str, data_dir: pathlib.Path, *, overwrite: bool = False) -> pathlib.Path:
    """Prepares the set and returns its folder; a complete and unchanged set is left as it is.

    Raises:
      ValueError: the set is unknown, files are wrong (all of them are named), or the set was
        prepared from something else.
      FileNotFoundError: the published files do not exist.
      BlockingIOError: another process prepares the set.
    """
    folder = sources.prepared_folder(name, data_dir)
    if not overwrite and sources.is_prepared(folder):
        with (
            contextlib.suppress(OSError),
            replace.lock(folder),
        ):  # it belongs to others, or is read-only
            replace.recover(folder, sources.is_prepared)
        remark = _refuse_changes(name, folder)
        print(f"Already prepared: {describe(folder, name)}{remark and f' ({remark})'}")
        return folder
    replace.check_writable(data_dir)
    with replace.lock(folder):
        if said := replace.recover(folder, sources.is_prepared):
            print(said)
            if not overwrite:
                return prepare(name, data_dir)
        try:
            built, published = _build(name, replace.scratch(folder))
            already.note(built, name, published, _settings(*name.partition("/")[::2]))
            replace.put(folder, built, sources.is_prepared)
        except BaseException:
            replace.clear(folder)
            raise
    print(f"Prepared {describe(folder, name)}")
    return folder


def export(folder: pathlib.Path, name: str, output: pathlib.Path) -> None:
    """Writes the images of some examples as files, to try prediction."""
    split = _EXPORT_SPLIT.value
    opened = sources.Source(name, split, folder)
    output.mkdir(parents=True, exist_ok=True)
    count = min(_EXAMPLES.value, len(opened))
    for k in range(count):
        example = opened.encoded(k * len(opened) // count)
        suffix = ".jpg" if example["image"][:2] == b"\xff\xd8" else ".png"
        path = output / f"{pathlib.PurePath(example['name']).name}{suffix}"
        whole_file.write_bytes(path, example["image"], sync=False)
    print(f"{count} images of {split} in {output}")


def main(arguments: Sequence[str]) -> int:
    """Prepares a set; an error that the user can fix is printed as one line."""
    if len(arguments) > 1 or not NAME.value:
        wrong = f"{arguments[1]!r} is not a flag" if len(arguments) > 1 else "--name is missing"
        print(f"jaxseg: {wrong}; see --help", file=sys.stderr)
        return 2
    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()  # the builders have their own, with rate and remaining time
    try:
        folder = prepare(
            NAME.value,
            pathlib.Path(DATA_DIR.value).expanduser(),
            overwrite=_OVERWRITE.value,
        )
        if _EXPORT.value:
            export(folder, NAME.value, pathlib.Path(_EXPORT.value))
    except (ValueError, OSError) as error:
        print(f"jaxseg: {one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("jaxseg: interrupted; the same command resumes it", file=sys.stderr)
        return 1
    return 0
