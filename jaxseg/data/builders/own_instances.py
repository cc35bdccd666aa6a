"""Your own instances: annotation files in COCO's format, or masks with an id for each object.

    python -m jaxseg.data.prepare --name=folder/mine --images=IMAGES --annotations=FILE
    python -m jaxseg.data.prepare --name=folder/mine --images=IMAGES --masks=MASKS --classes=FILE \
        --instances

Annotations: one file, from which a share is drawn for val, or `train=FILE,val=FILE`. The categories
are the classes. Masks: with one class, every id except 0 is an object. With several, as in
Cityscapes, 1000 c + n is object n of the class with id c, and c alone is a crowd of that class. 0
is background, and 255 is void if the class file has a line for void.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping

from jaxseg.data.instances import Objects
from jaxseg.data.labels import LabelSpec, voc_palette
from jaxseg.data.pairing import own_files, pairs
from jaxseg.data.pairing.layout import SPLITS
from jaxseg.data.readers import coco_json, instance_ids, mask_file
from jaxseg.ignore import IGNORE

BACKGROUND = 0  # the id of no object


def _files(given: str) -> dict[str, pathlib.Path]:
    """Split -> file, from FILE or train=FILE,val=FILE; the split of a single file is ""."""
    if "=" not in given:
        return {"": pathlib.Path(given).expanduser()}
    found = {}
    for part in given.split(","):
        split, _, path = part.partition("=")
        if split not in SPLITS or not path:
            raise ValueError(
                f"--annotations={given}: a file, or train=FILE,val=FILE with the splits train, val "
                "and test"
            )
        found[SPLITS[split]] = pathlib.Path(path).expanduser()
    return found


@functools.lru_cache(maxsize=4)  # `prepare` calls this several times
def _listing(path: pathlib.Path, changed: int) -> coco_json.Listing:
    return coco_json.read(path)


def _read(given: str) -> dict[str, tuple[pathlib.Path, coco_json.Listing]]:
    read = {}
    for split, path in _files(given).items():
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not a file: --annotations names one")
        read[split] = path, _listing(path, path.stat().st_mtime_ns)
    return read


def labels_of_annotations(given: str) -> LabelSpec:
    """The categories of the files in `--annotations` as classes, in the order of their ids.

    Raises:
      FileNotFoundError: a file does not exist.
      ValueError: a file is damaged, lists no categories, or differs from the first.
    """
    (first, listing), *others = _read(given).values()
    for path, other in others:
        if other.categories != listing.categories:
            raise ValueError(f"{path} and {first} list different categories")
    if not listing.categories:
        raise ValueError(f"{first} lists no categories")
    return LabelSpec(
        names=tuple(listing.categories.values()),
        palette=voc_palette(1 + len(listing.categories))[1:],
        raw_to_train={number: k for k, number in enumerate(listing.categories)},
    )


def in_annotations(given: str, images: str) -> own_files.Own:
    """The images listed in the files of `--annotations`, under `--images`, with their splits."""
    root = own_files.root_of(images, "images")
    found = own_files.Own([])
    for split, (path, listing) in _read(given).items():
        for each in listing.images:
            name = pathlib.PurePosixPath(each.file).with_suffix("").as_posix()
            pair = pairs.Pair(name, root / each.file, path, objects=each.objects)
            found.pairs.append((pair, split))
    return found


def things(labels: LabelSpec) -> LabelSpec:
    """The classes of a class file that objects can have: all except id 0, the background.

    A single class is kept whatever its id is.
    """
    ids: Mapping[int, int] = {k: raw for raw, k in labels.raw_to_train.items() if k != IGNORE}
    kept = [k for k in range(labels.num_classes) if ids[k] != BACKGROUND or len(ids) == 1]
    return LabelSpec(
        names=tuple(labels.names[k] for k in kept),
        palette=tuple(labels.palette[k] for k in kept),
        raw_to_train={max(1, ids[k]): i for i, k in enumerate(kept)},
    )


def with_objects(own: own_files.Own, labels: LabelSpec, void: bool) -> own_files.Own:
    """The pairs with objects read from their masks.

    Args:
      own: the pairs.
      labels: from `things`.
      void: whether 255 is void.
    """
    only = next(iter(labels.raw_to_train)) if labels.num_classes == 1 else None

    def of(pair: pairs.Pair) -> pairs.Pair:
        read = functools.partial(_objects, pair.mask, pair.page, only, void)
        return dataclasses.replace(pair, objects=read)

    return dataclasses.replace(own, pairs=[(of(pair), split) for pair, split in own.pairs])


def _objects(mask: pathlib.Path, page: int | None, only: int | None, void: bool) -> Objects:
    ids, _ = mask_file.read_mask(mask, page=page)

    def meaning(number: int) -> tuple[int, bool] | None:
        if number == BACKGROUND or (void and number == IGNORE):
            return None
        return (only, False) if only is not None else instance_ids.by_thousands(number)

    return instance_ids.objects_of(ids, meaning)
