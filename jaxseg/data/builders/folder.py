"""Your own data: folders of images and masks, or a table of pairs, and a class file.

Pairs: see `matching`; suffixes of names (`_leftImg8bit`, `_gtFine_labelIds`) can be taken off.
Classes: see `class_file`. Instances: see `own_instances`.

Splits: folders train, val, test (or training, validation, valid, testing) anywhere in the paths,
lists of names, or the CSV column `split`; otherwise a share is drawn for val, which does not depend
on the order of the files. docs/own_images.md shows each layout with its command.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator, Sequence

import tensorflow_datasets as tfds

from jaxseg.data import builders, records
from jaxseg.data.builders import own_instances
from jaxseg.data.labels import MAX_CLASSES, LabelSpec, voc_palette
from jaxseg.data.pairing import own_files, pair_table, pairs
from jaxseg.data.readers.class_file import Classes, read_classes
from jaxseg.ignore import IGNORE


@dataclasses.dataclass(eq=False)
class FolderConfig(tfds.core.BuilderConfig):
    """Where the files are: `images` and `masks`, or `table`, or `images` and `annotations`."""

    images: str = ""
    masks: str = ""
    classes: str = ""
    table: str = ""  # CSV with the columns image, mask and, optionally, split
    lists: str = ""  # a folder of train.txt, val.txt, test.txt: image names, one per line
    image_suffix: str = ""  # at the end of image names, before the dot
    mask_suffix: str = ""
    val_share: float = 0.1  # drawn if the paths name no splits
    seed: int = 0
    annotations: str = ""  # FILE or train=FILE,val=FILE, in COCO's form: a set of instances
    instances: bool = False  # masks hold the ids of objects: a set of instances

    @property
    def holds_instances(self) -> bool:
        """Whether the examples are images with objects."""
        return self.instances or bool(self.annotations)


def _drawn(found: Sequence[pairs.Pair], share: float, seed: int) -> dict[str, list[pairs.Pair]]:
    """Draws a share for val by a hash of the names, so that adding files moves almost no others."""
    order = sorted(found, key=lambda pair: hashlib.sha256(f"{seed}/{pair.name}".encode()).digest())
    chosen = {pair.name for pair in order[: round(share * len(found))]}
    return {
        "train": [pair for pair in found if pair.name not in chosen],
        "val": [pair for pair in found if pair.name in chosen],
    }


_ANY_OBJECT = LabelSpec(names=("object",), palette=voc_palette(2)[1:], raw_to_train={1: 0})


def any_id() -> LabelSpec:
    """Every id up to 253 as a separate class, 254 and 255 as void: to inspect unknown data."""
    ids = range(MAX_CLASSES)
    return LabelSpec(
        names=tuple(f"id {k}" for k in ids),
        palette=voc_palette(MAX_CLASSES),
        raw_to_train={**{k: k for k in ids}, 254: IGNORE, 255: IGNORE},
    )


def find(config: FolderConfig, *, need_classes: bool = True) -> pairs.Published:
    """The pairs, their splits and classes.

    Args:
      config: where the files are.
      need_classes: if False and there is no class file, every id is a class.

    Raises:
      FileNotFoundError: a folder or file does not exist.
      ValueError: the class file or the table is invalid, or only some of the files have a split.
    """
    if config.annotations:
        return _annotated(config)
    named = config.classes or not need_classes
    if not named or not (config.table or (config.images and config.masks)):
        raise ValueError(
            "your own data set needs --images=FOLDER --masks=FOLDER (or --table=CSV) and "
            "--classes=FILE, one class per line: NAME, or ID NAME, or NAME RED GREEN BLUE"
        )
    if config.table and config.lists:
        raise ValueError("--table and --lists both give the splits: leave one out")
    if not 0 <= config.val_share < 1:
        raise ValueError(f"--val_share={config.val_share}: must be at least 0 and below 1")
    classes = read_classes(pathlib.Path(config.classes).expanduser()) if config.classes else None
    if config.table:
        own = pair_table.in_table(config.table, config.images, config.masks)
    else:
        own = own_files.in_folders(
            config.images, config.masks, config.image_suffix, config.mask_suffix, config.lists
        )
    if config.instances:
        return _of_instances(own, config, classes)
    by_split = _divided(own, config)
    return pairs.Published(
        pairs.nonempty(by_split),
        classes.labels if classes else any_id(),
        classes.colours if classes else None,
        remarks=[*([classes.text()] if classes else []), *own.remarks],
        problems=own.problems,
        classes=classes,
    )


def _annotated(config: FolderConfig) -> pairs.Published:
    """The images listed in annotation files."""
    if not config.images or config.masks or config.table or config.lists or config.classes:
        raise ValueError(
            "--annotations needs --images, and none of --masks, --table, --lists and --classes: "
            "the file has objects, splits and classes"
        )
    labels = own_instances.labels_of_annotations(config.annotations)
    own = own_instances.in_annotations(config.annotations, config.images)
    by_split = pairs.nonempty(_divided(own, config))
    return pairs.Published(by_split, labels, remarks=own.remarks, problems=own.problems)


def _of_instances(
    own: own_files.Own, config: FolderConfig, classes: Classes | None
) -> pairs.Published:
    """Pairs whose masks hold object ids; without a class file all have the same class."""
    if classes and classes.colours is not None:
        raise ValueError(
            f"{classes.path} gives colours, and masks of --instances hold ids: leave "
            "the colours out"
        )
    labels = own_instances.things(classes.labels) if classes else _ANY_OBJECT
    void = classes is not None and IGNORE in classes.labels.raw_to_train
    own = own_instances.with_objects(own, labels, void)
    by_split = pairs.nonempty(_divided(own, config))
    return pairs.Published(by_split, labels, remarks=own.remarks, problems=own.problems)


def _divided(own: own_files.Own, config: FolderConfig) -> dict[str, list[pairs.Pair]]:
    """The pairs of each split; a share is drawn for val if only train is named."""
    named = {split for _, split in own.pairs}
    found = [pair for pair, _ in own.pairs]
    if named in ({""}, {"train"}):
        drawn = _drawn(found, config.val_share, config.seed)
        own.remarks.append(
            f"nothing names a split for evaluation: {len(drawn['val'])} of {len(found)} images are "
            f"drawn for val (--val_share={config.val_share:g}, --data_seed={config.seed})"
        )
        return drawn
    if lost := [pair.name for pair, split in own.pairs if not split]:
        raise ValueError(
            f"{len(lost)} of {len(found)} files are not in a split train, val or test: {lost[0]} "
            "..."
        )
    by_split: dict[str, list[pairs.Pair]] = {"train": [], "val": [], "test": []}
    for pair, split in own.pairs:
        by_split[split].append(pair)
    return by_split


class Folder(tfds.core.GeneratorBasedBuilder):
    """The builder; its config says where the files are."""

    VERSION = tfds.core.Version(builders.VERSIONS["folder"])

    def _info(self) -> tfds.core.DatasetInfo:
        config = self.builder_config
        if config.annotations:
            labels = own_instances.labels_of_annotations(config.annotations)
        else:
            labels = read_classes(pathlib.Path(config.classes).expanduser()).labels
            labels = own_instances.things(labels) if config.instances else labels
        return records.info(self, labels, instances=config.holds_instances)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        return pairs.generators(self, find(self.builder_config))

    def _generate_examples(
        self, published: pairs.Published, split: str
    ) -> Iterator[tuple[int, dict[str, object]]]:
        yield from pairs.examples(published, split)
