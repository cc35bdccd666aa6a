"""H. Numbers: area under the ROC curve, calibration, shares of processes, records of runs."""

import json
import pathlib

import numpy as np
from scipy import stats

from experiments.readme_tables import page, run_table
from experiments.robustness.field_reports.situation import ROOT, Seen, Situation, check, right
from jaxseg.data import loader
from jaxseg.data.augment.settings import Augment
from jaxseg.data.augment.transforms import Transform
from jaxseg.metrics import probability
from jaxseg.percent import percent
from jaxseg.runtime.mesh import by_process

_SHAPE = (1, 200, 200)


def _sigmoid(z: np.ndarray) -> np.ndarray:
    p = np.exp(-np.logaddexp(0, -z)).astype(np.float32)
    return np.where(p < np.finfo(np.float32).tiny, 0, p)  # as computed by XLA's softmax


def _area_by_ranks(scores: np.ndarray, outcomes: np.ndarray) -> float:
    """The area as the Mann-Whitney statistic: equal scores count one half."""
    ones = outcomes == 1
    n = int(ones.sum())
    ranks = stats.rankdata(scores)[ones.ravel()].sum()
    return float((ranks - n * (n + 1) / 2) / (n * (ones.size - n)))


def _saturated(_: pathlib.Path) -> Seen:
    """Log-odds at several scales and means, with one positive in a thousand up to one in two."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for scale in (0.1, 1, 10, 40):
        for shift in (-30, -8, 0, 8, 15):
            for positive in (0.002, 0.5):
                outcomes = (rng.random(_SHAPE) < positive).astype(int)
                scores = _sigmoid(shift + scale * (rng.normal(size=_SHAPE) + outcomes))
                histogram = probability.score_histogram(scores, outcomes)
                found = probability.roc_auc(histogram)
                worst = max(worst, abs(found - _area_by_ranks(scores, outcomes)))
    return right(worst < 1e-4, f"at most {percent(worst, 4)} points off, on 40 made distributions")


def _rounded_to_one(_: pathlib.Path) -> Seen:
    """Most probabilities are 1 in float32; those of the other class determine their order."""
    rng = np.random.default_rng(0)
    outcomes = (rng.random(_SHAPE) < 0.3).astype(int)
    log_odds = 25 + 10 * (rng.normal(size=_SHAPE) + outcomes)
    p, q = _sigmoid(log_odds), _sigmoid(-log_odds)
    found = probability.roc_auc(probability.score_histogram(p, outcomes, q))
    off = abs(found - _area_by_ranks(log_odds, outcomes))
    return right(off < 1e-4, f"{percent((p == 1).mean(), 0)} % are 1: {percent(off, 4)} points off")


def _confident_calibration(_: pathlib.Path) -> Seen:
    rng = np.random.default_rng(0)
    q = (1e-4 * rng.random(_SHAPE)).astype(np.float32)
    both = np.stack([q, 1 - q], axis=-1)
    labels = (rng.random(_SHAPE) < 0.9999).astype(int)
    expected = abs(np.mean(labels == 1) - np.mean(both[..., 1].astype(np.float64)))
    histogram = probability.confidence_histogram(both, labels)
    off = abs(probability.calibration_error(histogram) - expected)
    return right(off < 1e-5, f"{percent(off, 5)} points off where every confidence is above 0.9999")


class _Numbers:
    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> dict:
        label = np.full((4, 4), index, np.uint8)
        return {"image": np.repeat(label[..., None], 3, axis=-1), "label": label, "name": ""}


def _order(count: int, batches: int = 3, position: int = 0) -> list[list[int]]:
    """The examples of each batch, in the order in which `mesh.put_batch` joins the shares."""
    shares = [
        loader.train_iterator(
            _Numbers(),  # type: ignore[arg-type]
            batch_size=8,
            transform=Transform((4, 4), Augment(scale_range=(1.0, 1.0))),
            seed=0,
            threads=0,
            prefetch=1,
            process_index=process,
            process_count=count,
        )
        for process in range(count)
    ]
    for share in shares:
        share.set_state({"position": position})
    return [
        [int(label[0, 0]) for share in shares for label in next(share)["label"]]
        for _ in range(batches)
    ]


def _shares(_: pathlib.Path) -> Seen:
    one = _order(1)
    for count in (2, 4, 8):
        check(_order(count) == one, f"{count} processes join {_order(count)[0]}, not {one[0]}")
    return right(True, "2, 4 and 8 processes join the examples of a batch in the order of one")


def _other_number(_: pathlib.Path) -> Seen:
    """A run of one process is resumed with two, after two batches."""
    return right(_order(2, 1, 16) == _order(1)[2:], "the third batch is the same, in its order")


def _pod(_: pathlib.Path) -> Seen:
    """JAX may order the devices of a pod so that those of a process are not adjacent."""

    class Device:
        def __init__(self, process_index: int) -> None:
            self.process_index = process_index

    ring = np.empty(6, object)
    ring[:] = [Device(process) for process in (0, 2, 2, 1, 1, 0)]
    found = [device.process_index for device in by_process(ring)]
    return right(found == [0, 0, 1, 1, 2, 2], f"processes of the devices of the mesh: {found}")


def _runs_of_records(_: pathlib.Path) -> Seen:
    records = dict(run_table.records())
    check(all(record["runs"] >= 1 for record in records.values()), "a record without its runs")
    trained = [record for record in records.values() if "training" in record]
    check(all(isinstance(record["seed"], int) for record in trained), "a record without its seed")
    return right(True, f"{len(records)} records say from how many runs and of which seed they are")


def _quick_start(_: pathlib.Path) -> Seen:
    runs = json.loads((page.RESULTS / "quickstart_runs.json").read_text())["runs"]
    check(run_table.quickstart() in (ROOT / "README.md").read_text(), "README has another range")
    return right(len(runs) > 1, run_table.quickstart().replace("\n", " ").partition(" (")[0])


_AREA = "tests/metrics/test_probability.py::"
_LOADER = "tests/data/test_loader.py::test_processes_share_out_the_same_batch"
_RECORDS = "tests/experiments/test_run_table.py::"
SITUATIONS = (
    Situation(
        "H",
        "area under the ROC curve of saturated scores",
        "wrong, silently: up to 28 points off",
        _AREA + "test_auc_equals_scikit_learn_for_any_scores",
        _saturated,
    ),
    Situation(
        "H",
        "area under the ROC curve of scores that float32 rounds to 1",
        "wrong, silently: ties of most scores",
        _AREA + "test_the_other_probability_orders_scores_that_float32_rounds_to_1",
        _rounded_to_one,
    ),
    Situation(
        "H",
        "calibration error of a confident network",
        "0.008 points off a value of 0.010, by the width of a bin",
        _AREA + "test_calibration_error_of_confident_networks",
        _confident_calibration,
    ),
    Situation(
        "H",
        "shares of a batch, joined over processes",
        "wrong, silently: examples 0, 2, 4, 6, 1, 3, 5, 7, so other dropout masks",
        _LOADER,
        _shares,
    ),
    Situation(
        "H",
        "a run that resumes with another number of processes",
        "wrong, silently: the same examples in another order",
        _LOADER,
        _other_number,
    ),
    Situation(
        "H",
        "devices of a pod in the order of its network",
        "not tested on a pod, as none was available: the order was JAX's",
        "tests/runtime/test_processes.py::"
        "test_devices_of_a_process_lie_side_by_side_in_the_order_of_processes",
        _pod,
    ),
    Situation(
        "H",
        "records without the number of their runs",
        "said nowhere",
        _RECORDS + "test_every_record_says_from_how_many_runs_its_number_comes",
        _runs_of_records,
    ),
    Situation(
        "H",
        "README's figure of the quick start",
        "73.2 alone, where a clone gave 82.6",
        _RECORDS + "test_the_quick_start_is_a_range_over_its_runs",
        _quick_start,
    ),
)
