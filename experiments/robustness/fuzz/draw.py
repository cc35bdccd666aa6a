"""Draws cases of a kind with hypothesis and counts how they end."""

import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import hypothesis
import hypothesis.strategies as st

from experiments.robustness.fuzz import class_files, configs, images, run_folders, weight_files
from experiments.robustness.fuzz.outcome import Tally

SHARES = {
    "experiments": 0.06,
    "files": 0.36,
    "photos": 0.14,
    "classes": 0.14,
    "runs": 0.14,
    "weights": 0.16,
}
_NUMBERS = st.integers(0, 2**63)  # from which the module of a kind draws its case


def prepared(scratch: pathlib.Path) -> pathlib.Path:
    """A data_dir with the data set that the experiments use."""
    data_dir = scratch / "data"
    if not data_dir.exists():
        program = [sys.executable, "-m", "jaxseg.data.prepare", f"--name={configs.NAME}"]
        sizes = ["--shapes_size=64", "--shapes_train=6", "--shapes_val=2"]
        command = [*program, f"--data_dir={data_dir}", *sizes]
        subprocess.run(command, check=True, capture_output=True)
    return data_dir


def run(kind: str, cases: int, seed: int, scratch: pathlib.Path) -> Tally:
    """Draws the given number of cases and counts their outcomes.

    Args:
      kind: a key of `SHARES`.
      cases: the number of cases.
      seed: of the drawn cases.
      scratch: a folder for data and files.
    """
    tally = Tally()
    plain = lambda text: text.replace(str(scratch), "SCRATCH")  # noqa: E731
    drawn: st.SearchStrategy[Any]
    do: Callable[[Any], object]
    if kind == "experiments":
        runs = configs.Runs(prepared(scratch))
        drawn, do = configs.changes(), lambda case: runs.build(*case)
    elif kind == "files":
        drawn, do = images.cases(), lambda case: images.prepare(case, scratch / "set")
    elif kind == "photos":
        drawn, do = images.photographs(), lambda data: images.predict(data, scratch / "photos")
    elif kind == "classes":
        drawn, do = _NUMBERS, lambda number: class_files.use(number, scratch / "classes")
    elif kind == "runs":
        drawn, do = _NUMBERS, run_folders.Harmed(scratch, configs.experiment(scratch / "data")).use
    else:
        drawn, do = _NUMBERS, weight_files.Harmed(scratch).read

    @hypothesis.settings(
        max_examples=cases,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.seed(seed)
    @hypothesis.given(drawn)
    def each(case: Any) -> None:
        tally.run(lambda: do(case), repr(case), plain)

    each()
    return tally
