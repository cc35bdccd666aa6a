"""A prepared split as a sequence of decoded examples, without builder code."""

import difflib
import functools
import operator
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource

from jaxseg.data import builders, features_file, instances, records, stuff
from jaxseg.data import fingerprint as fingerprints
from jaxseg.data.labels import LabelSpec
from jaxseg.errors import counted


def prepare_command(name: str, data_dir: str | pathlib.Path) -> str:
    """The command that prepares a set."""
    extra = {
        "shapes": "",
        "folder": " --images=FOLDER --masks=FOLDER --classes=FILE",
    }.get(name.partition("/")[0], " --manual_dir=FOLDER")
    return f"python -m jaxseg.data.prepare --name={name}{extra} --data_dir={data_dir}"


def check_name(name: str) -> str:
    """The builder of a data set name, "camvid", "cityscapes/coarse" or "folder/NAME".

    Raises:
      ValueError: there is no such builder; similar names are suggested.
    """
    builder, slash, rest = name.partition("/")
    if builder not in builders.VERSIONS:
        near = difflib.get_close_matches(builder, builders.VERSIONS, n=2, cutoff=0.5)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        known = ", ".join(builders.VERSIONS)
        raise ValueError(f"unknown data set {name!r}{hint} (known: {known})")
    if (slash and not rest) or "/" in rest or (builder == "folder" and not rest):
        raise ValueError(f"data set {name!r}: your own data set is called {builder}/NAME")
    if slash and builder not in ("shapes", "folder"):
        variants = builders.VARIANTS.get(builder, ())
        if rest not in variants:
            there = ", ".join([builder, *(f"{builder}/{variant}" for variant in variants)])
            raise ValueError(f"unknown data set {name!r} (known: {there})")
    return builder


def prepared_folder(name: str, data_dir: str | pathlib.Path) -> pathlib.Path:
    """The folder of a set, which need not exist: DATA_DIR/NAME/VERSION."""
    return pathlib.Path(data_dir).expanduser() / name / builders.VERSIONS[check_name(name)]


def is_prepared(folder: pathlib.Path) -> bool:
    """Whether the folder is complete: TFDS gives it this name only when everything is written."""
    return (folder / "dataset_info.json").is_file() and (folder / "metadata.json").is_file()


def splits(folder: pathlib.Path) -> list[str]:
    """The splits of a prepared folder, in the order of writing."""
    return list(_info(folder).splits)


def labels_of(folder: pathlib.Path, name: str) -> LabelSpec:
    """The classes of a prepared folder; raises ValueError if it is damaged."""
    return stuff.with_background(LabelSpec.from_json(_info(folder).metadata["labels"]), name)


def _info(folder: pathlib.Path) -> tfds.core.DatasetInfo:
    """TFDS's description of a prepared folder.

    Raises:
      ValueError: one of its JSON files is missing or damaged.
    """
    try:
        features_file.check(folder)
        info = tfds.builder_from_directory(folder).info
        LabelSpec.from_json(info.metadata["labels"])
        for height, width in info.metadata["largest"].values():
            operator.index(height + width)
        return info
    except Exception as error:  # TFDS, protobuf and JSON each raise their own
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{folder} is damaged ({line[:200]}): prepare the set with --overwrite"
        ) from error


class Source:
    """One split, in the order of the published list.

    `source[i]` is {"image": uint8 [H, W, 3], "label": train ids uint8 [H, W], "name": str}.

    Attributes:
      name: of the set.
      split: its name.
      folder: of the set.
      labels: its LabelSpec.
      stored: the LabelSpec in its files; `stuff.with_background` may add to it.
      largest: the largest height and the largest width of the split.
      splits: split -> (examples, bytes), as recorded by TFDS.
      holds_instances: whether the examples are images with objects; see `InstanceSource`.
    """

    def __init__(self, name: str, split: str, folder: pathlib.Path) -> None:
        info = _info(folder)
        if split not in info.splits:
            there = ", ".join(sorted(info.splits))
            raise ValueError(f"{name} has no split {split!r}; it has: {there}")
        self.name, self.split, self.folder = name, split, folder
        self.stored = LabelSpec.from_json(info.metadata["labels"])
        self.labels = stuff.with_background(self.stored, name)
        height, width = info.metadata["largest"][split]
        self.largest = (height, width)
        self.splits = {s: (of.num_examples, of.num_bytes) for s, of in info.splits.items()}
        self._features = info.features
        self.holds_instances = records.holds_instances(info.features)
        skip = tfds.decode.SkipDecoding()
        self._decoders = {part: skip for part in info.features if part != "name"}
        files = [str(path) for path in info.splits[split].filepaths]
        if missing := [path for path in files if not pathlib.Path(path).is_file()]:
            raise FileNotFoundError(f"{missing[0]} is missing: prepare {name} with --overwrite")
        self._file = files[0] if len(files) == 1 else f"one of {len(files)} files in {folder}"
        try:
            self._records = ArrayRecordDataSource(files)
            count = len(self._records)
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"{files[0]} is damaged ({error}): prepare with --overwrite"
            ) from error
        expected = info.splits[split].num_examples
        if count != expected:
            raise ValueError(
                f"{folder}: {split} holds {counted(count, 'example')} instead of {expected}: "
                f"prepare {name} with --overwrite"
            )

    def __len__(self) -> int:
        return len(self._records)

    def __repr__(self) -> str:  # Grain shows it in its messages
        return f"Source({self.name!r}, {self.split!r}, {len(self)} examples)"

    @functools.cached_property
    def fingerprint(self) -> fingerprints.Fingerprint:
        """The fingerprint of the whole set."""
        return fingerprints.of_folder(self.folder, self.name, self.stored, self.splits)

    def encoded(self, index: int) -> dict[str, Any]:
        """Example `index` before decoding: "image", "label" and perhaps "stuff" bytes, "name" str.

        Raises:
          ValueError: names the file if it cannot be read, or is not an example.
        """
        try:
            record = self._records[index]
            example = self._features.deserialize_example_np(record, decoders=self._decoders)
            return example | {"name": example["name"].decode()}
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            reason = str(error) if isinstance(error, RuntimeError) else "it is not an example"
            raise ValueError(
                f"{self._file}: example {index} of {self.split} cannot be read ({reason}); if the "
                f"disk is healthy, prepare {self.name} with --overwrite"
            ) from error

    def _where(self, example: Mapping[str, Any]) -> str:
        return f"{self.name} {self.split} {example['name']}"

    def _label(self, example: Mapping[str, Any]) -> np.ndarray:
        where = self._where(example)
        return self.labels.encode(records.decode_label(example["label"], where), where)

    def label(self, index: int) -> np.ndarray:
        """The train ids of example `index`, uint8 [H, W], without decoding its image."""
        return self._label(self.encoded(int(index)))

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) of example `index`, from the header of its label."""
        example = self.encoded(int(index))
        return records.label_size(example["label"], self._where(example))

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = self.encoded(int(index))
        return {
            "image": records.decode_image(example["image"], self._where(example)),
            "label": self._label(example),
            "name": example["name"],
        }


class InstanceSource(Source):
    """One split of an instance set.

    `source[i]` is {"image": uint8 [H, W, 3], "objects": `instances.Objects`, "name": str}.
    """

    def _objects(self, example: Mapping[str, Any]) -> instances.Objects:
        where = self._where(example)
        found = instances.from_text(example["label"], where)
        return instances.classes_of(found, self.labels, where)

    def objects(self, index: int) -> instances.Objects:
        """The objects of example `index`, without decoding its image."""
        return self._objects(self.encoded(int(index)))

    def semantic(self, index: int) -> np.ndarray:
        """The classes of the pixels of example `index`; see `stuff.classes_of_pixels`."""
        example = self.encoded(int(index))
        objects, where = self._objects(example), self._where(example)
        return stuff.classes_of_pixels(example, objects, self.labels, where)

    def with_semantic(self, index: int) -> dict[str, Any]:
        """Example `index` with its classes of pixels as "semantic"."""
        example = self.encoded(int(index))
        found, where = self._decoded(example), self._where(example)
        pixels = stuff.classes_of_pixels(example, found["objects"], self.labels, where)
        return found | {"semantic": pixels}

    def size(self, index: int) -> tuple[int, int]:
        """(height, width) of example `index`, from its objects."""
        return self.objects(index).size

    def label(self, index: int) -> np.ndarray:
        """Not available for instance sets.

        Raises:
          ValueError: always.
        """
        raise ValueError(f"{self.name} holds objects, not a class for each pixel")

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._decoded(self.encoded(int(index)))

    def _decoded(self, example: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "image": records.decode_image(example["image"], self._where(example)),
            "objects": self._objects(example),
            "name": example["name"],
        }


def open_split(name: str, split: str, data_dir: str | pathlib.Path) -> Source:
    """Opens a prepared split of a semantic segmentation set.

    Args:
      name: of the set: "shapes", "camvid", "voc2012", "folder/NAME".
      split: one of its splits.
      data_dir: the folder that `jaxseg.data.prepare` has written to.

    Raises:
      ValueError: there is no such set or split, its files are damaged, or it holds instances.
      FileNotFoundError: it is not prepared there; the message contains the command.
    """
    source = Source(name, split, _prepared(name, data_dir))
    if source.holds_instances:
        raise ValueError(
            f"{name} holds objects, not a class for each pixel: it is for the instance task"
        )
    return source


def open_instances(name: str, split: str, data_dir: str | pathlib.Path) -> InstanceSource:
    """Opens a prepared split of an instance set, and raises as `open_split` does."""
    source = InstanceSource(name, split, _prepared(name, data_dir))
    if not source.holds_instances:
        raise ValueError(f"{name} holds a class for each pixel, not objects")
    return source


def open_any(name: str, split: str, data_dir: str | pathlib.Path) -> Source:
    """Opens a prepared split of any task: an `InstanceSource` if the set holds objects.

    Raises:
      ValueError, FileNotFoundError: like `open_split`.
    """
    source = Source(name, split, _prepared(name, data_dir))
    return InstanceSource(name, split, source.folder) if source.holds_instances else source


def _prepared(name: str, data_dir: str | pathlib.Path) -> pathlib.Path:
    """The folder of a set.

    Raises:
      ValueError: there is no such set.
      FileNotFoundError: it is not prepared; the message has the command.
    """
    folder = prepared_folder(name, data_dir)
    if not is_prepared(folder):
        others = [p.parent for p in sorted(folder.parent.glob("*/dataset_info.json"))]
        versions = [p.name for p in others if p != folder and p.name.replace(".", "").isdigit()]
        found = (
            f"{folder.parent} holds version {', '.join(versions)}, but this code reads "
            f"{folder.name}"
            if versions
            else f"{name} is not prepared in {data_dir}"
        )
        raise FileNotFoundError(f"{found}; run: {prepare_command(name, data_dir)}")
    return folder
