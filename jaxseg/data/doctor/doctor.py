"""Inspects a data set before training: ids, sizes, duplicates, balance; text and a picture.

    python -m jaxseg.data.doctor --name=camvid                         # as prepared in data/
    python -m jaxseg.data.doctor --name=camvid --manual_dir=CAMVID     # as published
    python -m jaxseg.data.doctor --name=folder/mine --images=IMAGES --masks=MASKS [--classes=FILE]
    python -m jaxseg.data.doctor --name=camvid --augment=rotation=10 --augment=scale_range=0.5,2
    python -m jaxseg.data.doctor --name=coco --manual_dir=COCO         # instances

Exit status: 0 without problems, 1 with problems (all are listed), 2 for a wrong flag.
"""

import concurrent.futures
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from absl import flags, logging

from jaxseg.data import records
from jaxseg.data import source as sources
from jaxseg.data.builders import folder as folders
from jaxseg.data.doctor import augmented, objects_main, picture, survey
from jaxseg.data.doctor.tables import names_of, table
from jaxseg.data.labels import LabelSpec
from jaxseg.data.pairing import pairs
from jaxseg.data.prepare import named_files
from jaxseg.data.readers import pixels
from jaxseg.errors import counted, one_line
from jaxseg.ignore import IGNORE
from jaxseg.percent import percent
from jaxseg.progress import over

_SPLITS = flags.DEFINE_list("split", [], "Splits to inspect; default: all.")
_PICTURE = flags.DEFINE_string("picture", "", "PNG to write; default: NAME.png; none: no picture.")
_PREVIEW = flags.DEFINE_integer("preview", 12, "Examples shown in the picture.", 0)
_VIEWS = flags.DEFINE_integer("views", 3, "Augmented views of each of them.", 0)
_AUGMENT = flags.DEFINE_multi_string(
    "augment",
    [],
    "FIELD=VALUE for the views, a field of data.augment such as rotation=10; for instances a field "
    "of data.instances such as jitter_range=0.5,2.",
)
_MOST = flags.DEFINE_integer(
    "objects", 100, "Instance sets: the number of objects per image that training uses.", 1
)
_MUCH_VOID = 0.5  # share that is suspicious


def _prepared(name: str, data_dir: pathlib.Path) -> tuple[dict[str, survey.Looked], LabelSpec]:
    folder = sources.prepared_folder(name, data_dir)
    if not sources.is_prepared(folder):
        sources.open_split(name, "train", data_dir)  # its error says how to prepare it
    looked = {}
    for split in sources.splits(folder):
        opened = sources.Source(name, split, folder)

        def show(index: int, opened: sources.Source = opened) -> survey.Example:
            example = opened.encoded(index)
            where = f"{name} {opened.split} {example['name']}"
            image = records.decode_image(example["image"], where)
            return image, records.decode_label(example["label"], where)

        def look(
            index: int,
            opened: sources.Source = opened,
            show: Callable[[int], survey.Example] = show,
        ) -> survey.Finding:
            title = opened.encoded(index)["name"]
            try:
                return survey.count(title, opened.split, "", *show(index))
            except ValueError as error:
                return survey.Finding(title, opened.split, problem=str(error))

        looked[split] = survey.Looked(split, len(opened), look, show)
    return looked, opened.labels


def _published(published: pairs.Published) -> tuple[dict[str, survey.Looked], LabelSpec]:
    looked = {}
    for split, found in published.splits.items():

        def show(index: int, found: Sequence[pairs.Pair] = found) -> survey.Example:
            pair = found[index]
            image = pixels.read_image(pair.image, pair.page)
            return image, pair.read_mask(published.colours)[0]

        def look(
            index: int, split: str = split, found: Sequence[pairs.Pair] = found
        ) -> survey.Finding:
            pair, path = found[index], found[index].image
            try:
                image = pixels.read_image(path, pair.page)
                path = pair.mask
                raw, kind = pair.read_mask(published.colours)
            except ValueError as error:
                return survey.Finding(pair.name, split, problem=f"{pair.where(path)} {error}")
            return survey.count(pair.name, split, kind, image, raw)

        looked[split] = survey.Looked(split, len(found), look, show)
    return looked, published.labels


def _surveys(looked: Mapping[str, survey.Looked], labels: LabelSpec) -> dict[str, survey.Survey]:
    surveys = {}
    with concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for split, examples in looked.items():
            tasks = [pool.submit(examples.look, i) for i in range(examples.count)]
            findings = [task.result() for task in over(tasks, f"reading {split}")]
            surveys[split] = survey.Survey(findings, labels)
    return surveys


def _named(labels: LabelSpec) -> bool:
    """Whether the classes have names, rather than ids only."""
    return labels != folders.any_id()


def _kinds(found: survey.Survey) -> str:
    """Each encoding of ids and its number of masks, with names except for the most frequent."""
    (usual, count), *others = found.kinds().most_common()
    named = [
        f"{kind} ({n}: {names_of([f.name for f in found.findings if f.kind == kind])})"
        for kind, n in others
    ]
    return ", ".join([f"{usual} ({count})", *named])


def problems(
    surveys: Mapping[str, survey.Survey], published: pairs.Published | None = None
) -> list[str]:
    """Everything that would spoil training or evaluation, and the remedy, one line each."""
    lines = list(published.problems) if published else []
    for split, found in surveys.items():
        lines += [f"{split}: {finding.problem}" for finding in found.findings if finding.problem]
        for raw, names in found.unknown().items():
            lines.append(
                f"{split}: id {raw} is in no class ({found.raw_pixels()[raw]} pixels of "
                f"{len(names)} masks): {names_of(names)}"
            )
        if len(found.kinds().keys() - {"MATLAB", "drawn"}) > 1:  # these cannot be misread
            lines.append(f"{split}: masks encode their ids in several ways: {_kinds(found)}")
    lines += survey.doubled(surveys)
    if published and published.classes:
        seen = {raw for found in surveys.values() for raw in found.raw_pixels()}
        lines += published.classes.doubts(seen, lines)
    return lines


def _split_text(split: str, found: survey.Survey) -> Iterator[str]:
    labels, sizes = found.labels, found.sizes()
    yield f"\n{split}: {counted(len(found.findings), 'example')}"
    common = ", ".join(f"{h} x {w} ({n})" for (h, w), n in sizes.most_common(4))
    if sizes:
        yield f"  sizes          {common}{' ...' if len(sizes) > 4 else ''}"
    if found.kinds():
        yield "  masks          " + ", ".join(f"{kind} ({n})" for kind, n in found.kinds().items())
    mean, deviation = found.mean_and_deviation()
    yield "  mean           " + ", ".join(f"{value:.2f}" for value in mean) + "  (RGB, 0 to 255)"
    yield "  deviation      " + ", ".join(f"{value:.2f}" for value in deviation)
    doubt = "; so much is probably a mistake" if found.void_share() > _MUCH_VOID else ""
    yield f"  void           {percent(found.void_share())} % of the pixels{doubt}"
    names, pixels = found.raw_images(), found.raw_pixels()
    total = max(1, sum(pixels.values()))
    train_ids = {raw: labels.raw_to_train.get(raw) for raw in pixels}
    titles = {
        raw: {None: "UNKNOWN", IGNORE: "(void)"}.get(k) or labels.names[k or 0]
        for raw, k in train_ids.items()
    }
    rows = [
        (str(raw), titles[raw], percent(n / total, 3), str(len(names[raw])))
        for raw, n in pixels.items()
    ]
    yield table(rows, ("raw id", "class", "pixels %", "images"), ("right", "left"))
    absent = [labels.names[k] for k in np.flatnonzero(found.class_pixels() == 0)]
    if absent and _named(labels):
        yield f"  absent         {', '.join(absent)}"


def _suggestions(found: survey.Survey, sizes: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Flags of an experiment that suit the images; `found` is the survey of the training split."""
    if not sizes:
        return
    crop, size = survey.training_crop(sizes), survey.evaluation_size(sizes)
    mean, deviation = (",".join(f"{v:.1f}" for v in each) for each in found.mean_and_deviation())
    yield "\nSuggested:"
    if _named(found.labels):
        yield f"  --config.model.num_classes={found.labels.num_classes}"
    yield f"  --config.data.crop_size={crop[0]},{crop[1]}   # 32 k + 1 fits every output stride"
    yield f"  --config.eval.size={size[0]},{size[1]}   # holds every image"
    yield f"  --config.data.normalisation.mean={mean}   # unless pretrained weights need another"
    yield f"  --config.data.normalisation.std={deviation}"


def text(
    name: str, surveys: Mapping[str, survey.Survey], published: pairs.Published | None = None
) -> str:
    """The report: counts of each split, suggestions for training, and problems."""
    lines = [name]
    for split, found in surveys.items():
        lines += _split_text(split, found)
    first, found = next(iter(surveys.items()))
    sizes = [size for each in surveys.values() for size in each.sizes()]
    if sizes and found.class_pixels().any() and _named(found.labels):
        median, inverse = found.median_frequency_weights(), found.inverse_frequency_weights()
        lines.append(f"\nClass weights of {first}: median frequency (SegNet), inverse frequency:")
        rows = [
            (title, *(f"{weight:.4f}" for weight in both))
            for title, *both in zip(found.labels.names, median, inverse, strict=True)
        ]
        lines.append(table(rows, (), ("left",)))
        for weights in (median, inverse):
            numbers = ",".join(f"{weight:.4f}" for weight in weights)
            lines.append(f"  --config.loss.class_weights={numbers}")
    lines += _suggestions(found, sizes)
    wrong = problems(surveys, published)
    lines.append(f"\n{counted(len(wrong), 'problem')}:" if wrong else "\nNo problems were found.")
    return "\n".join(lines + [f"  {line}" for line in wrong])


def _options(name: str) -> objects_main.Options:
    """What the flags ask for."""
    wanted = _PICTURE.value != "none"
    return objects_main.Options(
        splits=_SPLITS.value,
        picture=pathlib.Path(_PICTURE.value or f"{name.replace('/', '_')}.png") if wanted else None,
        preview=_PREVIEW.value,
        views=_VIEWS.value,
        augment=_AUGMENT.value,
        most=_MOST.value,
    )


def main(arguments: Sequence[str]) -> int:
    """Inspects the data set, prints the report and draws the picture."""
    name = flags.FLAGS.name
    if len(arguments) > 1 or not name:
        wrong = f"{arguments[1]!r} is not a flag" if len(arguments) > 1 else "--name is missing"
        print(f"jaxseg: {wrong}; see --help", file=sys.stderr)
        return 2
    logging.set_verbosity(logging.ERROR)
    try:
        augmented.check(_AUGMENT.value)  # reports faults before anything is read
        published = None
        if named_files.names_published_files():
            published = named_files.find(name, need_classes=False)
            if not published.splits:
                raise ValueError("no image has a mask:\n  " + "\n  ".join(published.problems))
            for remark in published.remarks:
                print(remark)
        data_dir = pathlib.Path(flags.FLAGS.data_dir).expanduser()
        if of_objects := objects_main.read(name, published, data_dir):
            return objects_main.run(name, *of_objects, published, _options(name))
        looked, labels = _published(published) if published else _prepared(name, data_dir)
        if flags.FLAGS[_MOST.name].present:
            raise augmented.WrongSetting(
                f"--objects is for instance sets, but {name} holds a class for each pixel"
            )
        if lost := [split for split in _SPLITS.value if split not in looked]:
            raise ValueError(f"{name} has no split {lost[0]!r}; it has: {', '.join(looked)}")
        looked = {s: each for s, each in looked.items() if not _SPLITS.value or s in _SPLITS.value}
        surveys = _surveys(looked, labels)
        print(text(name, surveys, published))
        if path := _options(name).picture:
            sizes = [size for each in surveys.values() for size in each.sizes()]
            crop = survey.training_crop(sizes) if sizes else (1, 1)
            transform = augmented.transform_of(_AUGMENT.value, crop)
            picture.draw(
                name, looked, surveys, path, _PREVIEW.value, transform=transform, views=_VIEWS.value
            )
            print(f"Picture: {path}")
    except (ValueError, OSError) as error:
        print(f"jaxseg: {one_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, augmented.WrongSetting) else 1
    return 1 if problems(surveys, published) else 0
