"""Looks at a data set before it is trained on: ids, sizes, duplicates, balance; text and a picture.

    python -m jaxseg.data.doctor --name=camvid                         # as prepared in data/
    python -m jaxseg.data.doctor --name=camvid --manual_dir=CAMVID     # as published
    python -m jaxseg.data.doctor --name=folder/mine --images=IMAGES --masks=MASKS [--classes=FILE]

Exit status: 0 nothing wrong, 1 something is wrong (all of it is said), 2 a wrong flag.
"""

import concurrent.futures
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from absl import app, flags, logging

from jaxseg.data import files, pairs, prepare, records, survey
from jaxseg.data import source as sources
from jaxseg.data.builders import folder as folders
from jaxseg.data.labels import LabelSpec
from jaxseg.errors import one_line
from jaxseg.types import IGNORE

_SPLITS = flags.DEFINE_list("split", [], "Splits to look at; all of them without.")
_PICTURE = flags.DEFINE_string("picture", "", "PNG to write; NAME.png without, none: no picture.")
_PREVIEW = flags.DEFINE_integer("preview", 12, "Examples shown in the picture.", 0)
_SHOWN = 12  # names listed for one problem
_HATCHES = ("", "//", "..")  # tell the splits apart where the colours tell the classes

Example = tuple[np.ndarray, np.ndarray]  # image uint8 [H, W, 3], raw ids [H, W]


class Looked:
    """One split as the doctor reads it: how many examples, and each of them."""

    def __init__(
        self,
        split: str,
        count: int,
        look: Callable[[int], survey.Finding],
        show: Callable[[int], Example],
    ) -> None:
        self.split, self.count, self.look, self.show = split, count, look, show


def _prepared(name: str, data_dir: pathlib.Path) -> tuple[dict[str, Looked], LabelSpec]:
    folder = sources.prepared_folder(name, data_dir)
    if not sources.is_prepared(folder):
        sources.open_split(name, "train", data_dir)  # says how to prepare it
    looked = {}
    for split in sources.splits(folder):
        opened = sources.Source(name, split, folder)

        def show(index: int, opened: sources.Source = opened) -> Example:
            example = opened.encoded(index)
            where = f"{name} {opened.split} {example['name']}"
            image = records.decode_image(example["image"], where)
            return image, records.decode_label(example["label"], where)

        def look(
            index: int, opened: sources.Source = opened, show: Callable[[int], Example] = show
        ) -> survey.Finding:
            title = opened.encoded(index)["name"]
            try:
                return survey.count(title, opened.split, "", *show(index))
            except ValueError as error:
                return survey.Finding(title, opened.split, problem=str(error))

        looked[split] = Looked(split, len(opened), look, show)
    return looked, opened.labels


def _published(published: pairs.Published) -> tuple[dict[str, Looked], LabelSpec]:
    looked = {}
    for split, found in published.splits.items():

        def show(index: int, found: Sequence[pairs.Pair] = found) -> Example:
            pair = found[index]
            image = records.decode_image(pair.image.read_bytes(), str(pair.image))
            return image, files.read_mask(pair.mask, published.colours)[0]

        def look(
            index: int, split: str = split, found: Sequence[pairs.Pair] = found
        ) -> survey.Finding:
            pair, path = found[index], found[index].image
            try:
                files.image_size(path)
                image = records.decode_image(path.read_bytes(), "")
                path = pair.mask
                raw, kind = files.read_mask(path, published.colours)
            except ValueError as error:
                return survey.Finding(pair.name, split, problem=f"{path} {error}")
            return survey.count(pair.name, split, kind, image, raw)

        looked[split] = Looked(split, len(found), look, show)
    return looked, published.labels


def _surveys(looked: Mapping[str, Looked], labels: LabelSpec) -> dict[str, survey.Survey]:
    surveys = {}
    with concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for split, examples in looked.items():
            tasks = [pool.submit(examples.look, i) for i in range(examples.count)]
            findings = [task.result() for task in pairs.progress(tasks, f"reading {split}")]
            surveys[split] = survey.Survey(findings, labels)
    return surveys


def _named(labels: LabelSpec) -> bool:
    """Whether there are classes, not only ids."""
    return labels != folders.any_id()


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def problems(surveys: Mapping[str, survey.Survey]) -> list[str]:
    """All that would spoil training or evaluation, a line each."""
    lines = []
    for split, found in surveys.items():
        lines += [f"{split}: {finding.problem}" for finding in found.findings if finding.problem]
        for raw, names in found.unknown().items():
            hint = "; often void: `255 void` in the classes" if raw == 255 else ""
            lines.append(
                f"{split}: id {raw} is in no class ({found.raw_pixels()[raw]} pixels of "
                f"{len(names)} masks{hint}): {_names(names)}"
            )
        if len(found.kinds()) > 1:
            kinds = ", ".join(f"{n} {kind}" for kind, n in found.kinds().items())
            lines.append(f"{split}: masks code their ids in several ways: {kinds}")
    for group in survey.duplicates(surveys):
        roles = {"train" if f.split.startswith("train") else f.split for f in group}
        within = {f.split for f in group}
        if len(roles) > 1 or any(sum(f.split == s for f in group) > 1 for s in within):
            lines.append(f"the same image: {_names([f'{f.split} {f.name}' for f in group])}")
    return lines


def _split_text(split: str, found: survey.Survey) -> Iterator[str]:
    labels, sizes = found.labels, found.sizes()
    yield f"\n{split}: {len(found.findings)} examples"
    common = ", ".join(f"{h} x {w} ({n})" for (h, w), n in sizes.most_common(4))
    if sizes:
        yield f"  sizes          {common}{' ...' if len(sizes) > 4 else ''}"
    if found.kinds():
        yield "  masks          " + ", ".join(f"{kind} ({n})" for kind, n in found.kinds().items())
    mean, deviation = found.mean_and_deviation()
    yield "  mean           " + ", ".join(f"{value:.2f}" for value in mean) + "  (RGB, 0 to 255)"
    yield "  deviation      " + ", ".join(f"{value:.2f}" for value in deviation)
    yield f"  void           {100 * found.void_share():.2f} % of the pixels"
    names, pixels = found.raw_images(), found.raw_pixels()
    total = max(1, sum(pixels.values()))
    yield f"  {'raw id':>6}  {'class':<20} {'pixels %':>9} {'images':>7}"
    for raw, n in pixels.items():
        train_id = labels.raw_to_train.get(raw)
        title = {None: "UNKNOWN", IGNORE: "(void)"}.get(train_id) or labels.names[train_id or 0]
        yield f"  {raw:>6}  {title:<20} {100 * n / total:>9.3f} {len(names[raw]):>7}"
    absent = [labels.names[k] for k in np.flatnonzero(found.class_pixels() == 0)]
    if absent and _named(labels):
        yield f"  absent         {', '.join(absent)}"


def text(name: str, surveys: Mapping[str, survey.Survey]) -> str:
    """The report: counts of each split, then what follows for training, then what is wrong."""
    lines = [name]
    for split, found in surveys.items():
        lines += _split_text(split, found)
    first, found = next(iter(surveys.items()))
    sizes = [size for each in surveys.values() for size in each.sizes()]
    if sizes and found.class_pixels().any() and _named(found.labels):
        weights = found.median_frequency_weights()
        lines.append(f"\nMedian-frequency weights of {first} (SegNet; 1 for absent classes):")
        for title, weight in zip(found.labels.names, weights, strict=True):
            lines.append(f"  {title:<20} {weight:9.4f}")
        numbers = ",".join(f"{weight:.4f}" for weight in weights)
        lines.append(f"  --config.loss.class_weights={numbers}")
    if sizes:
        crop, size = survey.training_crop(sizes), survey.evaluation_size(sizes)
        lines.append("\nSuggested (32 k + 1, so that every output stride fits; crops up to 769):")
        lines.append(f"  --config.data.crop_size={crop[0]},{crop[1]}")
        lines.append(f"  --config.eval.size={size[0]},{size[1]}")
    wrong = problems(surveys)
    lines.append("\nNothing wrong was found." if not wrong else f"\n{len(wrong)} problems:")
    return "\n".join(lines + [f"  {line}" for line in wrong])


def draw(
    name: str,
    looked: Mapping[str, Looked],
    surveys: Mapping[str, survey.Survey],
    path: pathlib.Path,
    preview: int,
) -> None:
    """One PNG: bars of the class shares of each split, and examples with their labels over them."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.patches import Patch

    labels = next(iter(surveys.values())).labels
    there = np.flatnonzero(np.sum([s.class_pixels() for s in surveys.values()], axis=0))
    chosen = [
        (split, int(i))
        for split, examples in looked.items()
        for i in np.linspace(0, examples.count - 1, -(-preview // len(looked))).astype(int)
        if not surveys[split].findings[int(i)].problem
    ]
    columns = 3
    rows = -(-len(chosen) // columns)
    figure = plt.figure(figsize=(14, 4 + 2.2 * rows), dpi=90, layout="constrained")
    grid = figure.add_gridspec(1 + rows, columns, height_ratios=[4, *[2.2] * rows])
    bars = figure.add_subplot(grid[0, :])
    width = 0.8 / len(surveys)
    legend = []
    for i, (split, found) in enumerate(surveys.items()):
        share = found.class_pixels()[there] / max(1, found.class_pixels().sum())
        colours = np.array(labels.palette)[there] / 255
        bars.bar(
            np.arange(len(there)) + i * width,
            100 * share,
            width,
            color=colours,
            edgecolor="black",
            linewidth=0.6,
            hatch=_HATCHES[i % 3],
        )
        legend.append(Patch(facecolor="lightgrey", hatch=_HATCHES[i % 3], label=split))
    bars.set_xticks(
        np.arange(len(there)) + 0.4 - width / 2,
        [labels.names[k] for k in there],
        rotation=40,
        ha="right",
    )
    bars.set(yscale="log", ylabel="% of the valid pixels", title=name)
    bars.legend(handles=legend)
    for place, (split, index) in enumerate(chosen):
        image, raw = looked[split].show(index)
        axes = figure.add_subplot(grid[1 + place // columns, place % columns])
        axes.imshow(_overlay(image, raw, labels))
        axes.set_title(f"{split} {surveys[split].findings[index].name}", fontsize=8)
        axes.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def _overlay(image: np.ndarray, raw: np.ndarray, labels: LabelSpec) -> np.ndarray:
    """Image beside image with the classes over it; ids that no class has are drawn as void."""
    table = np.full(65536, IGNORE, np.uint8)
    for raw_id, train_id in labels.raw_to_train.items():
        table[raw_id] = train_id
    colour = labels.colour(table[raw])
    return np.concatenate([image, (0.4 * image + 0.6 * colour).astype(np.uint8)], axis=1)


def main(arguments: Sequence[str]) -> int:
    """Reads, prints, draws."""
    name = flags.FLAGS.name
    if len(arguments) > 1 or not name:
        wrong = f"{arguments[1]!r} is no flag" if len(arguments) > 1 else "--name is missing"
        print(f"jaxseg: {wrong}; see --help", file=sys.stderr)
        return 2
    logging.set_verbosity(logging.ERROR)
    try:
        if prepare.names_published_files():
            looked, labels = _published(prepare.find(name, need_classes=False))
        else:
            looked, labels = _prepared(name, pathlib.Path(flags.FLAGS.data_dir).expanduser())
        if lost := [split for split in _SPLITS.value if split not in looked]:
            raise ValueError(f"{name} has no split {lost[0]!r}; it has: {', '.join(looked)}")
        looked = {s: each for s, each in looked.items() if not _SPLITS.value or s in _SPLITS.value}
        surveys = _surveys(looked, labels)
        print(text(name, surveys))
        if _PICTURE.value != "none":
            path = pathlib.Path(_PICTURE.value or f"{name.replace('/', '_')}.png")
            draw(name, looked, surveys, path, _PREVIEW.value)
            print(f"Picture: {path}")
    except (ValueError, OSError) as error:
        print(f"jaxseg: {one_line(error)}", file=sys.stderr)
        return 1
    return 1 if problems(surveys) else 0


if __name__ == "__main__":
    app.run(main, flags_parser=prepare.parse_flags)
