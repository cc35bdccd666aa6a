"""The lines of the table of models, which each paper's folder lists in networks.py.

A row's model is the network at full size, with 21 classes where its name gives no other number. Its
published parameter count comes from the paper, from the authors' files, or from counting its layers
without this code; `models` fails if the traced network has a different one.
"""

import dataclasses
import importlib
import pathlib

import flax.linen as nn

import experiments


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table."""

    network: str
    paper: str  # arXiv number
    where: str  # figure, table or section
    model: nn.Module
    published: int | None = None  # parameters
    weights: str = ""  # whose files fill the whole network; files of encoders are listed separately
    runs: tuple[str, ...] = ()  # names in experiments/results, without .json
    recipe: str = ""  # the paper's own experiment, in experiments/, without .py
    scores: str = "classifier"  # the layer whose receptive field is given
    field: int | None = None  # published, in pixels


def runs_of(name: str) -> tuple[str, ...]:
    """The existing records of a network's small runs."""
    return f"{name}_shapes", f"{name}_camvid_300", f"{name}_camvid", f"{name}_camvid_full"


def rows() -> tuple[Row, ...]:
    """The rows of all folders, by arXiv number; the naive baselines, without a paper, are last."""
    (root,) = map(pathlib.Path, experiments.__path__)
    found = [
        importlib.import_module(f"experiments.{file.parent.name}.networks").ROWS
        for file in sorted(root.glob("*/networks.py"))
    ]
    return tuple(row for own in sorted(found, key=lambda own: own[0].paper or "9") for row in own)
