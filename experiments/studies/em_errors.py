"""Errors of the ISBI 2012 EM challenge, from probabilities written by `--mode=predict`.

    python -m jaxseg.main --mode=predict --workdir=runs/unet_isbi_em --probabilities \
        --inputs=ISBI/image
    python -m experiments.studies.em_errors --predictions=runs/unet_isbi_em/predictions

prints the pixel, Rand, warping and squared error of a prepared split, each with the threshold that
minimises it, over all slices and for each slice at that threshold; and the area under the ROC curve
and the calibration error, which apply to any data set of two classes (--pixels_only --name=drive).
The second class is the positive one: the cells, the vessels. As in the challenge, thresholds are
chosen on the evaluated slices themselves.
"""

import argparse
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image

from jaxseg import whole_file
from jaxseg.data import loader
from jaxseg.errors import one_line
from jaxseg.inference import overlay
from jaxseg.metrics import probability, rand_error, warping_error
from jaxseg.reporting import tables
from jaxseg.workdir import npz_file
from jaxseg.workdir.log import write_json

Errors = Callable[[np.ndarray, np.ndarray, Sequence[float]], np.ndarray]  # at each threshold


def read(folder: pathlib.Path, source: loader.Source) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Reads float32 scores and train ids [N, H, W] of a split, and the names of its slices.

    Raises:
      FileNotFoundError: predictions are missing; the message gives their number, the first and the
        command.
      ValueError: the data set does not have two classes, the predictions have other classes or
        sizes, or the slices differ in size.
    """
    labels = source.labels
    if labels.num_classes != 2:
        raise ValueError(f"{source.name} has {labels.num_classes} classes: these errors are of two")
    examples = [source[index] for index in range(len(source))]
    names = [example["name"] for example in examples]
    paths = [folder / "probabilities" / f"{name}.npz" for name in names]
    if missing := [path for path in paths if not path.is_file()]:
        raise FileNotFoundError(
            f"{missing[0]} is missing, {len(missing)} of {len(paths)} are: python -m jaxseg.main "
            "--mode=predict --probabilities --workdir=RUN --inputs=IMAGES"
        )
    scores = []
    for path, example in zip(paths, examples, strict=True):
        file = npz_file.read(path)
        if tuple(file["names"].tolist()) != labels.names:
            raise ValueError(f"{path} is of the classes {', '.join(file['names'])}")
        zero, one = np.moveaxis(file["probabilities"].astype(np.float32), -1, 0)
        scores.append(np.where(one > 0.5, 1 - zero, one))  # float16 is most precise near 0
        if scores[-1].shape != example["label"].shape:
            raise ValueError(f"{path} is {scores[-1].shape}, its slice {example['label'].shape}")
    if len({score.shape for score in scores}) > 1:
        raise ValueError(f"{source.name} {source.split}: slices of several sizes")
    return np.stack(scores), np.stack([example["label"] for example in examples]), names


def searched(cells: bool) -> dict[tuple[str, ...], tuple[Errors, Sequence[float]]]:
    """The errors that depend on a threshold: names, values [T] or [T, names], thresholds."""
    fine, coarse = rand_error.THRESHOLDS, warping_error.THRESHOLDS
    found: dict[tuple[str, ...], tuple[Errors, Sequence[float]]] = {
        ("pixel error",): (lambda s, t, at: rand_error.pixel_errors(s, t, thresholds=at), fine)
    }
    if cells:
        warping = ("warping error, splits and mergers", "warping error, all differences")
        found |= {
            ("Rand error",): (lambda s, t, at: rand_error.rand_errors(s, t, thresholds=at), fine),
            warping: (lambda s, t, at: warping_error.warping_errors(s, t, thresholds=at), coarse),
        }
    return found


def measure(
    scores: np.ndarray, truth: np.ndarray, names: Sequence[str], *, cells: bool
) -> dict[str, Any]:
    """Error -> {"all": over all slices, "threshold": float or None, "slices": {name: value}}."""
    result: dict[str, Any] = {}
    each = [slice(index, index + 1) for index in range(len(names))]
    for titles, (errors, thresholds) in searched(cells).items():
        values = errors(scores, truth, thresholds).reshape(len(thresholds), -1)
        for column, title in enumerate(titles):
            best = thresholds[int(values[:, column].argmin())]
            ones = [errors(scores[one], truth[one], [best]).ravel()[column] for one in each]
            least = float(values[:, column].min())
            slices = list(map(float, ones))
            result[title] = {"all": least, "threshold": float(best), "slices": slices}
    for name, number in (
        ("squared error", rand_error.squared_error),
        ("area under the ROC curve", _auc),
        ("calibration error", _calibration),
    ):
        slices = [float(number(scores[one], truth[one])) for one in each]
        result[name] = {"all": float(number(scores, truth)), "threshold": None, "slices": slices}
    for row in result.values():
        row["slices"] = dict(zip(names, row["slices"], strict=True))
    return result


def _auc(scores: np.ndarray, truth: np.ndarray) -> float:
    return probability.roc_auc(probability.score_histogram(scores, truth))


def _calibration(scores: np.ndarray, truth: np.ndarray) -> float:
    both = np.stack([1 - scores, scores], axis=-1)
    histogram = probability.confidence_histogram(both, truth)
    return probability.calibration_error(histogram)


def table(errors: dict[str, Any]) -> str:
    """Markdown with one row per error: over all slices, then for each slice."""
    names = next(iter(errors.values()))["slices"]
    heads = ("", "threshold", "all", *names)
    rows = []
    for name, row in errors.items():
        at = "" if row["threshold"] is None else f"{row['threshold']:.2f}"
        values = (row["all"], *row["slices"].values())
        rows.append((name, at, *(f"{value:.6f}" for value in values)))
    return tables.markdown(heads, rows, left=heads[:1])


def coloured(cells: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Cells [H, W] in the colours of the true cells that they overlap most, uint8 [H, W, 3].

    Two true cells in one colour are merged; a true cell in two colours is partly merged elsewhere.
    """
    pairs = np.zeros((cells.max() + 1, truth.max() + 1), np.int64)
    np.add.at(pairs, (cells, truth), 1)
    pairs[:, 0] = 0
    rng = np.random.default_rng(0)
    palette = rng.integers(60, 256, (truth.max() + 1, 3)).astype(np.uint8)
    palette[0] = 128  # a cell that overlaps none
    picture = palette[pairs.argmax(axis=1)][cells]
    picture[cells == 0] = 0
    return picture


def picture(
    images: Sequence[np.ndarray] | None,
    scores: np.ndarray,
    truth: np.ndarray,
    at: float,
    width: int,
) -> np.ndarray:
    """One row per slice: image, true cells, probability, cells above a threshold; uint8 RGB.

    Args:
      images: uint8 [H, W, 3] each; None omits everything from the data set: images and true cells.
      scores: [N, H, W].
      truth: train ids [N, H, W], which determine the colours of cells.
      at: the threshold.
      width: of a slice.
    """
    rows = []
    for index, (score, label) in enumerate(zip(scores, truth, strict=True)):
        own, found = rand_error.cells(label == 1), rand_error.cells(score > at)
        grey = np.repeat(np.rint(255 * score).astype(np.uint8)[..., None], 3, axis=-1)
        parts = [
            ("probability", grey, cv2.INTER_AREA),
            (f"cells above {at:.2f}", coloured(found, own), cv2.INTER_NEAREST),
        ]
        if images is not None:
            cells = ("true cells", coloured(own, own), cv2.INTER_NEAREST)
            parts = [("image", images[index], cv2.INTER_AREA), cells, *parts]
        size = (width, round(width * label.shape[0] / label.shape[1]))
        small = [cv2.resize(part, size, interpolation=way) for _, part, way in parts]
        rows.append(overlay.strip(small, [title for title, _, _ in parts]))
    return np.concatenate(rows)


def _flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="em_errors", allow_abbrev=False)
    parser.add_argument("--predictions", required=True, help="the folder written by predict")
    parser.add_argument("--name", default="isbi_em", help="the data set, of two classes")
    parser.add_argument("--split", default="val", help="its split")
    parser.add_argument("--data_dir", default="data", help="prepared sets")
    parser.add_argument(
        "--pixels_only", action="store_true", help="omit the Rand and warping errors"
    )
    parser.add_argument("--output", help="JSON file to write")
    parser.add_argument("--picture", help="PNG or JPEG file to draw")
    parser.add_argument(
        "--without_data", action="store_true", help="omit images and ground truth from it"
    )
    parser.add_argument(
        "--shown", type=int, default=2, help="number of slices in it, from the first"
    )
    parser.add_argument("--width", type=int, default=256, help="width of a slice in it, in pixels")
    return parser


def run(options: argparse.Namespace) -> None:
    """Reads the predictions, measures the errors, and writes what the flags request."""
    if min(options.shown, options.width) < 1:
        raise ValueError(f"--shown={options.shown} --width={options.width}: at least 1")
    source = loader.open_split(options.name, options.split, options.data_dir)
    scores, truth, names = read(pathlib.Path(options.predictions), source)
    errors = measure(scores, truth, names, cells=not options.pixels_only)
    print(f"{source.name} {source.split}, {len(names)} slices, class {source.labels.names[1]}\n")
    print(table(errors))
    if options.output:
        record = {"data": source.name, "split": source.split, "errors": errors}
        write_json(pathlib.Path(options.output), record)
    if options.picture:
        at = errors.get("Rand error", errors["pixel error"])["threshold"]
        few = slice(min(options.shown, len(names)))
        images = [source[index]["image"] for index in range(len(names))[few]]
        given = None if options.without_data else images
        drawn = picture(given, scores[few], truth[few], at, options.width)
        kind = Image.registered_extensions().get(pathlib.Path(options.picture).suffix.lower())
        with whole_file.writing(options.picture) as file:
            Image.fromarray(drawn).save(file, kind, quality=85)


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    options = _flags().parse_args(arguments)
    try:
        run(options)
    except (ValueError, OSError) as error:
        print(f"jaxseg: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
