"""The doctor's report on an instance set: objects, their sizes, and problems."""

import concurrent.futures
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from jaxseg.data import instances, records
from jaxseg.data import source as sources
from jaxseg.data.doctor import survey
from jaxseg.data.doctor.objects import LookedObjects, ObjectFinding, ObjectSurvey, counted
from jaxseg.data.doctor.tables import SHOWN, names_of, table
from jaxseg.data.labels import LabelSpec
from jaxseg.data.pairing import pairs
from jaxseg.data.readers import pixels
from jaxseg.errors import counted as in_words
from jaxseg.percent import percent
from jaxseg.progress import over


def prepared(name: str, folder: pathlib.Path) -> tuple[dict[str, LookedObjects], LabelSpec]:
    """The splits of a prepared instance set and its classes."""
    looked = {}
    for split in sources.splits(folder):
        opened = sources.InstanceSource(name, split, folder)

        def show(
            index: int, opened: sources.InstanceSource = opened
        ) -> tuple[np.ndarray, instances.Objects]:
            example = opened.encoded(index)
            where = f"{name} {opened.split} {example['name']}"
            image = records.decode_image(example["image"], where)
            return image, instances.from_text(example["label"], where)

        def look(index: int, opened: sources.InstanceSource = opened, show=show) -> ObjectFinding:
            title = opened.encoded(index)["name"]
            try:
                return counted(title, opened.split, *show(index))
            except ValueError as error:
                return ObjectFinding(survey.Finding(title, opened.split, problem=str(error)))

        looked[split] = LookedObjects(split, len(opened), look, show)
    return looked, opened.labels


def published(of: pairs.Published) -> tuple[dict[str, LookedObjects], LabelSpec]:
    """The splits of published instance files and their classes."""
    looked = {}
    for split, found in of.splits.items():

        def show(
            index: int, found: Sequence[pairs.Pair] = found
        ) -> tuple[np.ndarray, instances.Objects]:
            pair = found[index]
            assert pair.objects is not None
            return pixels.read_image(pair.image, pair.page), pair.objects()

        def look(
            index: int, split: str = split, found: Sequence[pairs.Pair] = found
        ) -> ObjectFinding:
            pair, path = found[index], found[index].image
            assert pair.objects is not None
            try:
                image = pixels.read_image(path, pair.page)
                path = pair.mask
                return counted(pair.name, split, image, pair.objects())
            except ValueError as error:
                problem = f"{pair.where(path)} {error}"
                return ObjectFinding(survey.Finding(pair.name, split, problem=problem))

        looked[split] = LookedObjects(split, len(found), look, show)
    return looked, of.labels


def surveys(looked: Mapping[str, LookedObjects], labels: LabelSpec) -> dict[str, ObjectSurvey]:
    """Reads every example."""
    found = {}
    with concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for split, examples in looked.items():
            tasks = [pool.submit(examples.look, i) for i in range(examples.count)]
            findings = [task.result() for task in over(tasks, f"reading {split}")]
            found[split] = ObjectSurvey(findings, labels)
    return found


def problems(
    found: Mapping[str, ObjectSurvey],
    doubled: Sequence[str],
    of: pairs.Published | None = None,
) -> list[str]:
    """All problems for training or evaluation, a line each.

    Args:
      found: the surveys.
      doubled: lines about images that occur twice.
      of: the published files, if these were read.
    """
    lines = list(of.problems) if of else []
    for split, each in found.items():
        lines += [f"{split}: {f.image.problem}" for f in each.findings if f.image.problem]
        for raw, names in each.images.unknown().items():
            lines.append(
                f"{split}: category {raw} is in no class (objects in {len(names)} images): "
                f"{names_of(names)}"
            )
        faults = [line for finding in each.findings for line in finding.faults()]
        lines += [f"{split}: {line}" for line in faults[:SHOWN]]
        if len(faults) > SHOWN:
            lines.append(f"{split}: and {len(faults) - SHOWN} more objects like these")
    return lines + list(doubled)


def split_text(split: str, found: ObjectSurvey, most: int) -> Iterator[str]:
    """The lines of one split.

    Args:
      split: its name.
      found: in it.
      most: number of objects per image that training uses.
    """
    images, sizes = found.images, found.images.sizes()
    yield f"\n{split}: {in_words(len(found.findings), 'example')}"
    common = ", ".join(f"{h} x {w} ({n})" for (h, w), n in sizes.most_common(4))
    if sizes:
        yield f"  sizes          {common}{' ...' if len(sizes) > 4 else ''}"
    mean, deviation = images.mean_and_deviation()
    yield "  mean           " + ", ".join(f"{value:.2f}" for value in mean) + "  (RGB, 0 to 255)"
    yield "  deviation      " + ", ".join(f"{value:.2f}" for value in deviation)
    each, crowd, cut = found.per_image(), found.column("crowd").astype(bool), found.cut()
    count = int((~crowd).sum())
    yield f"  objects        {count}, and {in_words(int(crowd.sum()), 'crowd')}"
    if each.size:
        yield (
            f"  in an image    {each.min()} to {each.max()}, median {np.median(each):g}; none in "
            f"{in_words(int((each == 0).sum()), 'image')}, more than {most} in "
            f"{in_words(int((each > most).sum()), 'image')}"
        )
    size = found.size_classes()[~crowd]
    parts = [
        f"{percent(float((size == k).sum()) / count if count else 0.0)} % {name}"
        for k, name in enumerate(("small", "medium", "large"))
    ]
    yield f"  areas          {', '.join(parts)}  (limits 32 x 32 and 96 x 96 pixels)"
    share = float(cut[~crowd].sum()) / count if count else 0.0
    yield f"  at the border  {percent(share)} % of the objects are cut by it or touch it"
    yield _by_category(found, crowd)


def _by_category(found: ObjectSurvey, crowd: np.ndarray) -> str:
    labels, classes, size = found.labels, found.column("classes"), found.size_classes()
    numbers = {k: raw for raw, k in labels.raw_to_train.items()}
    rows = []
    for k, name in enumerate(labels.names):
        own = (classes == numbers[k]) & ~crowd
        rows.append(
            (
                str(numbers[k]),
                name,
                str(int(own.sum())),
                *(str(int((own & (size == s)).sum())) for s in range(3)),
                str(int(((classes == numbers[k]) & crowd).sum())),
                str(found.images_with(numbers[k])),
            )
        )
    heads = ("id", "class", "objects", "small", "medium", "large", "crowds", "images")
    return table(rows, heads, ("right", "left"))


def suggestions(found: Mapping[str, ObjectSurvey], most: int) -> Iterator[str]:
    """Suggested flags of an experiment; the first split is used for training."""
    first = next(iter(found.values()))
    each = np.concatenate([one.per_image() for one in found.values()])
    if not first.images.sizes() or not each.size:
        return
    mean, deviation = (
        ",".join(f"{v:.1f}" for v in values) for values in first.images.mean_and_deviation()
    )
    yield "\nSuggested:"
    yield f"  --config.model.num_classes={first.labels.num_classes}   # not counting the background"
    if each.max() > most:
        yield f"  --config.data.instances.objects={each.max()}   # enough for every image"
    yield f"  --config.data.normalisation.mean={mean}   # unless weights come with their own"
    yield f"  --config.data.normalisation.std={deviation}"


def text(name: str, found: Mapping[str, ObjectSurvey], wrong: Sequence[str], most: int) -> str:
    """The report: each split, suggested flags, and problems."""
    lines = [name]
    for split, each in found.items():
        lines += split_text(split, each, most)
    lines += suggestions(found, most)
    lines.append(f"\n{in_words(len(wrong), 'problem')}:" if wrong else "\nNo problems were found.")
    return "\n".join(lines + [f"  {line}" for line in wrong])
