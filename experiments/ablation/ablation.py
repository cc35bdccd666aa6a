"""A table of a paper as a runnable object: a base experiment, named rows of overrides, seeds.

A file in a paper's folder, such as experiments/deeplab_v3/table1.py, defines a function
`get_ablation` that returns an `Ablation`; `python -m launch.sweep` runs it. Rows that differ only
in their evaluation share one training. A training is identified by everything that decides its
outcome: the fields that affect it, the code that runs and the data that is read. Therefore no run
is repeated, and a run of different code is never mistaken for one of the current code.
"""

import dataclasses
import difflib
import hashlib
import importlib
import importlib.util
import json
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn

from experiments.ablation import code_version
from experiments.ablation.recorded import MIOU
from jaxseg import config
from jaxseg.checks.experiment import check

SIZES = ("paper", "camvid", "shapes")
FOLDER = pathlib.Path(__file__).resolve().parent.parent
Change = Mapping[str, Any]  # "model.backbone.output_stride" -> 8; also whole parts, "loss"

_NO_OUTCOME = {  # fields that decide how and where a run is executed, but not its result
    "train": ("log_every", "eval_every", "checkpoint_every", "keep", "pictures", "compile_cache"),
    "data": ("data_dir", "manual_dir", "threads", "prefetch"),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table."""

    name: str
    change: Change = dataclasses.field(default_factory=dict)  # over the base of the size
    paper: float | None = None  # the paper's value, in percent
    start: str = ""  # an earlier row whose network, of the same seed, initialises it


@dataclasses.dataclass(frozen=True)
class Size:
    """The same table at another cost: another base and, where necessary, other changes."""

    base: Callable[[], config.Experiment]
    change: Change = dataclasses.field(default_factory=dict)  # for all rows
    rows: Mapping[str, Change] = dataclasses.field(default_factory=dict)  # replace the row's own
    leave_out: tuple[str, ...] = ()  # rows that are meaningless at this size
    seeds: tuple[int, ...] = (0, 1, 2)


@dataclasses.dataclass(frozen=True)
class Ablation:
    """A table; the other rows are compared with the first."""

    title: str  # "DeepLab v3, Table 1: output stride"
    source: str  # of the paper's values: arXiv number, data, metric, uncertainties
    rows: tuple[Row, ...]
    paper: Size  # as published
    camvid: Size  # hours on one GPU
    shapes: Size  # minutes on a CPU
    cause: str  # why the effect should, or should not, appear on the drawn images
    metric: str = MIOU  # or, of a detector, a name in its log: "mask AP", "box AR@1000"
    measured: str = ""  # where the shapes size does not show what `cause` or the paper says


@dataclasses.dataclass(frozen=True)
class Job:
    """One training and all evaluations of it that the rows need."""

    name: str  # of its folder
    experiment: config.Experiment
    protocols: dict[str, config.Eval]  # row -> protocol of its evaluation
    seed: int
    start: str = ""  # name of the job whose run initialises this one
    wave: int = 0  # number of jobs that must finish before it, one after the other


def named(name: str) -> Ablation:
    """The ablation of experiments/NAME.py, or of the file at the path `name`.

    Raises:
      ValueError: no ablation has this name (similar names are listed), or the file does not exist.
    """
    if name.endswith(".py"):
        return _of_file(pathlib.Path(name))
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        others = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(known)}"
        raise ValueError(f"--ablation={name} is unknown; {others}")
    return importlib.import_module(f"experiments.{name.replace('/', '.')}").get_ablation()


def slug(name: str) -> str:
    """The name of an ablation in the names of folders and records: "deeplab_v3_table1"."""
    return pathlib.Path(name).stem if name.endswith(".py") else name.replace("/", "_")


def _of_file(path: pathlib.Path) -> Ablation:
    if not path.is_file():
        raise ValueError(f"--ablation={path}: no such file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_ablation"):
        raise ValueError(f"--ablation={path}: the file has no get_ablation()")
    return module.get_ablation()


def names() -> list[str]:
    """All ablations, as "deeplab_v3/table1", in alphabetical order."""
    return sorted(
        path.relative_to(FOLDER).with_suffix("").as_posix()
        for path in FOLDER.glob("*/[!.]*.py")
        if "\ndef get_ablation(" in path.read_text()
    )


def with_change(node: Any, change: Change) -> Any:
    """A config tree with changed values, applied in the given order.

    Raises:
      ValueError: the tree does not have a path; the existing fields are listed.
    """
    for path, value in change.items():
        try:
            node = _replaced(node, path, value)
        except AttributeError as error:
            raise ValueError(f"the override {path}: {error}") from None
    return node


def _replaced(node: Any, path: str, value: Any) -> Any:
    head, _, rest = path.partition(".")
    fields = [field.name for field in config.fields_of(node)]
    if head not in fields:
        raise AttributeError(f"{type(node).__name__} has no field {head}: {', '.join(fields)}")
    if rest:
        value = _replaced(getattr(node, head), rest, value)
    if isinstance(node, nn.Module):
        return node.clone(**{head: value})
    return dataclasses.replace(node, **{head: value})


def rows_of(ablation: Ablation, size: str) -> list[Row]:
    """The rows of a size, with their changes at that size.

    Raises:
      ValueError: the size, or a row in one of its lists, does not exist.
    """
    if size not in SIZES:
        raise ValueError(f"--size={size} is unknown; it can be {', '.join(SIZES)}")
    own: Size = getattr(ablation, size)
    known = [row.name for row in ablation.rows]
    wanted = {*own.rows, *own.leave_out, *(row.start for row in ablation.rows if row.start)}
    if unknown := sorted(wanted - set(known)):
        raise ValueError(f"{ablation.title}, {size}: no row {', '.join(unknown)}")
    if len(set(known)) < len(known):
        raise ValueError(f"{ablation.title}: two rows of one name")
    return [
        dataclasses.replace(row, change=own.rows.get(row.name, row.change))
        for row in ablation.rows
        if row.name not in own.leave_out
    ]


def experiment_of(ablation: Ablation, size: str, row: Row, seed: int = 0) -> config.Experiment:
    """The whole experiment of a row.

    Raises:
      ValueError: an override is invalid; the message names the row.
    """
    own: Size = getattr(ablation, size)
    try:
        experiment = with_change(own.base(), {**own.change, **row.change, "train.seed": seed})
        check(experiment)
    except ValueError as error:
        raise ValueError(f"{ablation.title}, {size}, {row.name}: {error}") from None
    return experiment


def plan(
    ablation: Ablation, size: str, *, seeds: tuple[int, ...] = (), shared: Change | None = None
) -> list[Job]:
    """All jobs of a table; jobs that initialise others come first.

    Args:
      ablation: the table.
      size: one of SIZES.
      seeds: instead of the size's own.
      shared: changes to all rows, applied after their own, such as those of the command line.
    """
    rows = rows_of(ablation, size)
    jobs: dict[str, Job] = {}
    for seed in seeds or getattr(ablation, size).seeds:
        of_row: dict[str, Job] = {}
        for row in rows:
            experiment = with_change(experiment_of(ablation, size, row, seed), shared or {})
            first = of_row.get(row.start)
            if row.start and first is None:
                raise ValueError(
                    f"{ablation.title}, {size}: {row.name} starts from {row.start}, which is not "
                    "trained at this size, or does not stand above it"
                )
            start, wave = (first.name, first.wave + 1) if first else ("", 0)
            key = training_key(experiment, start)
            if key not in jobs:
                name = f"{_slug(row.name)}-{key}-seed{seed}"
                jobs[key] = Job(name, experiment, {}, seed, start, wave)
            jobs[key].protocols[row.name] = experiment.eval
            of_row[row.name] = jobs[key]
    return sorted(jobs.values(), key=lambda job: job.wave)


def text_of(value: object) -> str:
    """The value of an override as shown in a table; for a whole part, the fields that it sets."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return str(value)
    own = [(f, getattr(value, f.name)) for f in config.fields_of(value)]
    texts = [
        f"{f.name}={text_of(v)}"
        for f, v in own
        if f.default is dataclasses.MISSING or v != f.default
    ]
    return f"{type(value).__name__}({', '.join(texts)})"


def _slug(name: str) -> str:
    return re.sub(r"[^0-9a-z]+", "_", name.lower()).strip("_")[:40]


def training_key(experiment: config.Experiment, start: str = "") -> str:
    """Ten hexadecimal digits that distinguish trainings with different outcomes.

    The hash covers every field except those of the evaluation and those that cannot change what is
    trained, the code that the experiment runs, the prepared data, and the run that initialises it.
    """
    fields = config.to_dict(experiment)
    del fields["eval"]
    for part, names_ in _NO_OUTCOME.items():
        fields[part] = {k: v for k, v in fields[part].items() if k not in names_}
    parts = [fields, code_version.of(experiment), code_version.of_data(experiment.data), start]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:10]
