"""Grids, stored results and the table of experiments/studies/crf_search.py."""

import functools
import itertools
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from experiments.benchmarks.crf_unaries import Unaries, Unary
from jaxseg.metrics import class_counts, confusion_matrix, image_intervals, intervals
from jaxseg.percent import interval, percent
from jaxseg.postprocess import crf
from jaxseg.progress import Progress
from jaxseg.reporting import tables
from jaxseg.types import IGNORE
from jaxseg.workdir import log
from jaxseg.workdir.environment import environment

_SHOWN = 10  # settings in the table

Setting = tuple[float, float, float]  # w1, theta_alpha, theta_beta
Counts = tuple[np.ndarray, np.ndarray, np.ndarray]  # of each image, as `uncertainty` expects them


def grid(axes: Sequence[Sequence[float]]) -> list[Setting]:
    """All combinations, sorted."""
    w1, alpha, beta = axes
    return sorted(set(itertools.product(w1, alpha, beta)))


def refined(axes: Sequence[Sequence[float]], best: Setting) -> list[list[float]]:
    """For each axis the best value and both neighbours at half the step, if they are positive.

    The step is the distance to the nearest value on the coarser axis; an axis with one value is
    kept.
    """
    finer = []
    for axis, value in zip(axes, best, strict=True):
        steps = [abs(other - value) for other in axis if other != value]
        half = min(steps) / 2 if steps else 0.0
        finer.append(sorted({v for v in (value - half, value, value + half) if v > 0}))
    return finer


def _counts(labels: np.ndarray, unary: Unary, classes: int) -> Counts:
    """Counts of labels [H', W'], which may extend beyond the image, in a frame."""
    down, right = (a - b for a, b in zip(labels.shape, unary.label.shape, strict=True))
    truth = np.pad(unary.label, ((0, down), (0, right)), constant_values=IGNORE)
    return class_counts(confusion_matrix(truth[None], labels[None], classes))


def _refined_labels(unary: Unary, parameters: crf.CRFParameters, normalization: str) -> np.ndarray:
    logits, image, size = unary.framed()
    q = crf.mean_field(
        logits,
        image,
        parameters,
        normalization=normalization,
        filter="lattice",
        size=size,
    )
    return np.asarray(jax.numpy.argmax(q, axis=-1))


def _over_images(
    unaries: Unaries,
    indices: Sequence[int],
    labels_of: Callable[[Unary], np.ndarray],
    bar: Progress,
) -> Counts:
    """Counts [N, K] of the predictions for each image."""
    found = []
    for unary in unaries.of(indices):
        found.append(_counts(labels_of(unary), unary, unary.log_probabilities.shape[-1]))
        bar.advance()
    hits, truth, predicted = (np.stack(x) for x in zip(*found, strict=True))
    return hits, truth, predicted


def _interval(interval: intervals.Interval) -> list[float]:
    return [interval.low, interval.high]


def _grids(
    axes: Sequence[Sequence[float]], refinements: int, done: dict[Setting, dict[str, Any]]
) -> Iterator[list[Setting]]:
    """Yields the coarse grid, then finer ones around the best setting so far."""
    yield grid(axes)
    for _ in range(refinements):
        best = max(done, key=lambda setting: done[setting]["miou"])
        axes = refined(axes, best)
        yield grid(axes)


def _earlier(path: pathlib.Path, what: dict[str, Any]) -> dict[Setting, dict[str, Any]]:
    """Settings written by an earlier run of the same search.

    Raises:
      ValueError: the file belongs to a different search, or to none.
    """
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text())
        same = record["search"] == json.loads(json.dumps(what))
        settings = {tuple(s["w1 theta_alpha theta_beta"]): s for s in record["settings"]}
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"--output={path} does not hold a search: name another file") from None
    if not same:
        raise ValueError(f"--output={path} holds a different search: remove it or name another")
    return settings


def search(
    unaries: Unaries,
    what: dict[str, Any],
    output: pathlib.Path,
    axes: Sequence[Sequence[float]],
    refinements: int,
) -> dict[str, Any]:
    """Tries the settings and writes each result; returns the record of all.

    Args:
      unaries: of the split.
      what: identifies the search: "images", "normalization", "fixed" and more.
      output: JSON file; if it holds this search, its settings are not tried again.
      axes: values of w1, theta_alpha and theta_beta of the coarse grid.
      refinements: finer grids after it.

    Raises:
      ValueError: the file belongs to a different search.
    """
    done = _earlier(output, what)
    indices = what["images"]
    with Progress(len(indices), "no CRF") as bar:
        plain = _over_images(unaries, indices, lambda u: u.log_probabilities.argmax(-1), bar)
    without = image_intervals.bootstrap_miou(plain)
    record: dict[str, Any] = {"search": what, "environment": environment()}
    record["without"] = {"miou": without.estimate, "interval": _interval(without)}
    for settings in _grids(axes, refinements, done):
        missing = [setting for setting in settings if setting not in done]
        with Progress(len(missing) * len(indices), "CRF") as bar:
            for setting in missing:
                bar.note("w1 {:g} alpha {:g} beta {:g}".format(*setting))
                parameters = crf.CRFParameters(*setting, *what["fixed"])
                labels_of = functools.partial(
                    _refined_labels, parameters=parameters, normalization=what["normalization"]
                )
                counts = _over_images(unaries, indices, labels_of, bar)
                miou = image_intervals.bootstrap_miou(counts)
                gain = image_intervals.paired_difference(plain, counts)
                done[setting] = {
                    "w1 theta_alpha theta_beta": list(setting),
                    "miou": miou.estimate,
                    "interval": _interval(miou),
                    "gain": gain.estimate,
                    "gain_interval": _interval(gain),
                }
                ranked = sorted(done.values(), key=lambda s: -s["miou"])
                log.write_json(output, record | {"best": ranked[0], "settings": ranked})
    return record | {"settings": sorted(done.values(), key=lambda s: -s["miou"])}


def table(record: dict[str, Any]) -> str:
    """Markdown of the best settings and of no CRF: mIoU in percent with intervals over images."""

    def cell(value: float, ends: Sequence[float]) -> str:
        return f"{percent(value)} {interval(ends, 2)}"

    heads = ("w1", "theta_alpha", "theta_beta", "mIoU", "against no CRF")
    without = record["without"]
    rows = [("no CRF", "", "", cell(without["miou"], without["interval"]), "")]
    for s in record["settings"][:_SHOWN]:
        w1, alpha, beta = (f"{v:g}" for v in s["w1 theta_alpha theta_beta"])
        gain = cell(s["gain"], s["gain_interval"])
        rows.append((w1, alpha, beta, cell(s["miou"], s["interval"]), gain))
    return tables.markdown(heads, rows, left=())
