"""Prepares a data set once: published files -> array_record under DATA_DIR/NAME/VERSION.

    python -m jaxseg.data.prepare --name=shapes
    python -m jaxseg.data.prepare --name=camvid --manual_dir=CAMVID
    python -m jaxseg.data.prepare --name=voc2012 --manual_dir=VOCDEVKIT
    python -m jaxseg.data.prepare --name=folder/mine --images=IMAGES --masks=MASKS --classes=FILE

Nothing is ever downloaded. A set that is complete is left alone; one that was interrupted starts
again, but the files that were already checked are not decoded again. Exit status: 0 done, 1 refused
with what is wrong, 2 a wrong flag.
"""

import pathlib
import shutil
import sys
from collections.abc import Sequence

import tensorflow_datasets as tfds
from absl import app, flags, logging

from jaxseg.data import loader
from jaxseg.data.builders import shapes

_NAME = flags.DEFINE_string("name", None, "shapes, camvid, voc2012 or folder/NAME; shapes/NAME.")
_DATA_DIR = flags.DEFINE_string("data_dir", "data", "Where prepared sets are kept.")
_OVERWRITE = flags.DEFINE_bool("overwrite", False, "Prepare again what is there.")
_EXPORT = flags.DEFINE_string("export", None, "Also write images as files to this folder.")
_SPLIT = flags.DEFINE_string("split", "val", "--export: the split.")
_EXAMPLES = flags.DEFINE_integer("examples", 8, "--export: how many, evenly over the split.")
_SIZE = flags.DEFINE_integer("size", 128, "shapes/NAME: height and width.", lower_bound=32)
_TRAIN = flags.DEFINE_integer("train", 1600, "shapes/NAME: training examples.", lower_bound=1)
_VAL = flags.DEFINE_integer("val", 200, "shapes/NAME: validation examples.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "shapes/NAME, folder: of what is drawn.", lower_bound=0)


def make_builder(name: str, data_dir: pathlib.Path) -> tfds.core.DatasetBuilder:
    """The builder that the flags ask for; prepared sets need none."""
    kind, _, own = name.partition("/")
    where = {"data_dir": data_dir, "file_format": "array_record"}
    if kind == "shapes":
        config = shapes.ShapesConfig(
            name=own, size=_SIZE.value, train=_TRAIN.value, val=_VAL.value, seed=_SEED.value
        )
        return shapes.Shapes(config=config if own else None, **where)
    raise ValueError(f"{name} cannot be prepared")


def describe(folder: pathlib.Path, name: str) -> str:
    """One line for a prepared set: its splits, their counts and sizes, its classes."""
    info = tfds.builder_from_directory(folder).info
    parts = []
    for split in info.splits:
        source = loader.Source(name, split, folder)  # verifies the count
        height, width = source.largest
        parts.append(f"{split} {len(source)} (up to {height} x {width})")
    return f"{name}: {', '.join(parts)}; {source.labels.num_classes} classes; in {folder}"


def prepare(name: str, data_dir: pathlib.Path, *, overwrite: bool = False) -> pathlib.Path:
    """Prepares the set and returns its folder; what is complete is left alone.

    Raises:
      ValueError: unknown set, or files that are wrong, all of them named.
      FileNotFoundError: the published files are not where they are said to be.
    """
    folder = loader.prepared_folder(name, data_dir)
    if loader.is_prepared(folder) and not overwrite:
        print(f"Already prepared: {describe(folder, name)}")
        return folder
    for leftover in folder.parent.glob(f"{folder.name}.incomplete*"):
        shutil.rmtree(leftover)
    builder = make_builder(name, data_dir)
    if folder.exists():  # by --overwrite, or copied here in part
        shutil.rmtree(folder)
    builder.download_and_prepare()
    print(f"Prepared {describe(folder, name)}")
    return folder


def export(folder: pathlib.Path, name: str, output: pathlib.Path) -> None:
    """Writes the images of some examples as files, as published, to try prediction on."""
    source = loader.Source(name, _SPLIT.value, folder)
    output.mkdir(parents=True, exist_ok=True)
    count = min(_EXAMPLES.value, len(source))
    for k in range(count):
        example = source.encoded(k * len(source) // count)
        suffix = ".jpg" if example["image"][:2] == b"\xff\xd8" else ".png"
        (output / f"{pathlib.PurePath(example['name']).name}{suffix}").write_bytes(example["image"])
    print(f"{count} images of {_SPLIT.value} in {output}")


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
        print(f"jaxseg: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    app.run(main)
