"""What a report knows of a run, what is missing of it, and in what runs differ."""

import dataclasses
import pathlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jaxseg.metrics.matching import Matches
from jaxseg.workdir import per_image


@dataclasses.dataclass(frozen=True)
class Picture:
    """One drawn image of an evaluation."""

    path: pathlib.Path
    kind: str  # "best" or "worst"
    place: int  # from 1
    name: str
    value: float | None  # by which images are ranked: mIoU, or F1 of a detector


@dataclasses.dataclass(frozen=True)
class StoredEvaluation:
    """One eval/TAG.json with its pictures and eval/TAG.npz."""

    tag: str
    record: dict[str, Any]  # "confusion", "names", "metrics", "images", "step", ...
    pictures: list[Picture]
    per_image: per_image.PerImage | None  # None: not kept, or of another evaluation


@dataclasses.dataclass(frozen=True, eq=False)
class StoredDetection:
    """One eval/TAG.json of a detector with its pictures and eval/TAG.npz."""

    tag: str
    record: dict[str, Any]  # of `instance_record`: "metrics", "names", "images", "step", ...
    pictures: list[Picture]
    matches: Mapping[str, Matches]  # "bbox", "segm"; empty: not kept, or of another evaluation


@dataclasses.dataclass(frozen=True)
class Run:
    """All that a run folder tells."""

    folder: pathlib.Path
    name: str
    config: dict[str, Any]  # flat: "optim.learning_rate" -> 0.007
    environment: dict[str, Any]
    expected: str  # what the experiment's docstring promises; "" when it does not
    train: list[dict[str, Any]]
    tests: list[dict[str, Any]]  # the evaluations during training
    evaluations: list[StoredEvaluation]  # the main one first
    notes: list[str]  # what is missing or broken, for the reader
    data_digest: str = ""  # of the split that training evaluates on; "": not known
    detections: list[StoredDetection] = dataclasses.field(default_factory=list)  # main one first

    @property
    def detects(self) -> bool:
        """Whether the model is a detector: as evaluated, else by its log, else by its config."""
        if self.evaluations or self.detections:
            return bool(self.detections)
        logged = any("box AP" in line or "box AR@1" in line for line in self.tests)
        logged = logged or any("objectness" in line for line in self.train)
        return logged or any(path.startswith("model.rpn.") for path in self.config)

    @property
    def main(self) -> StoredEvaluation | StoredDetection | None:
        """The main evaluation, of a detector that of its objects."""
        return next(iter(self.every_evaluation), None)

    @property
    def every_evaluation(self) -> list[StoredEvaluation | StoredDetection]:
        """Those of both tasks, the main one first."""
        return [*self.detections, *self.evaluations]

    @property
    def classifies(self) -> bool:
        """Whether pixels have classes: also those of a detector, if eval.semantic was set."""
        return bool(self.evaluations) or not self.detects

    @property
    def metrics(self) -> dict[str, Any]:
        """The headline numbers: of the main evaluation, else of the last one during training."""
        if self.evaluations:
            return self.evaluations[0].record["metrics"]
        return self.tests[-1] if self.tests else {}

    @property
    def measured_on(self) -> str:
        """What the headline numbers are of."""
        return self._of(self.main)

    @property
    def classified_on(self) -> str:
        """What `metrics` are of, which a detector has only of some evaluations."""
        return self._of(self.evaluations[0] if self.evaluations else self.main)

    def _of(self, evaluation: StoredEvaluation | StoredDetection | None) -> str:
        data, split = self.config.get("data.name", "?"), self.config.get("data.eval_split", "")
        if evaluation:
            record = evaluation.record
            step = record.get("step")
            origin = record.get("weights") or (f"step {step:,}" if step is not None else "")
            measured = f"{record.get('data', data)} {evaluation.tag}"
            return f"{measured}, {origin}" if origin else measured
        if self.tests:
            return f"{data} {split}, step {self.tests[-1]['step']:,}, during training"
        return "not evaluated yet"

    @property
    def steps(self) -> int:
        """The last step that was logged; 0: not trained here."""
        return max((line["step"] for line in self.train), default=0)

    @property
    def images_per_second(self) -> float | None:
        """Median over the log lines."""
        rates = [v for line in self.train if (v := line.get("images_per_second"))]
        return statistics.median(rates) if rates else None

    @property
    def seconds(self) -> float | None:
        """From the first log line to the last one; stops between them are in it."""
        times = [line["time"] for line in self.train + self.tests if "time" in line]
        return max(times) - min(times) if len(times) > 1 else None


def what_is_missing(run: Run) -> Iterator[str]:
    """Sentences on what a run has not got yet, and on its alarms."""
    if not run.config:
        yield "There is no config.json."
    planned = run.config.get("train.steps", 0)
    if not run.train and not any(e.record.get("weights") for e in run.every_evaluation):
        yield "Nothing is logged of the training yet."
    elif run.train and run.steps < planned:
        yield f"The training is at step {run.steps:,} of {planned:,}."
    if not run.main:
        command = f"python -m jaxseg.main --mode=evaluate --workdir={run.folder}"
        what = "intervals" if run.detects else "a confusion matrix"
        yield f"There is no evaluation with {what} and pictures yet. To create one: {command}"
    elif run.train and (run.main.record.get("step") or run.steps) < run.steps:
        yield (
            f"The evaluation is of step {run.main.record['step']:,}; "
            f"the training has since reached step {run.steps:,}."
        )
    collapsed: dict[str, list[str]] = {}
    for line in run.tests:
        if line.get("collapsed"):
            collapsed.setdefault(line["collapsed"], []).append(f"{line['step']:,}")
    for name, steps in collapsed.items():
        at = f"{'step' if len(steps) == 1 else 'steps'} {', '.join(steps)}"
        yield f"Collapse alarm at {at}: nearly all pixels were predicted as {name}."


def differing_fields(runs: Sequence[Run]) -> list[tuple[str, list[Any]]]:
    """The config fields in which runs differ, with the value of each run (None: not there)."""
    paths = list(dict.fromkeys(path for run in runs for path in run.config))
    rows = [(path, [run.config.get(path) for run in runs]) for path in paths]
    return [(path, values) for path, values in rows if any(v != values[0] for v in values)]


def with_names(runs: Sequence[Run]) -> list[Run]:
    """Runs of one name are told apart by as much of their path as it takes."""
    parts = [run.folder.resolve().parts for run in runs]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(p[-depth:]) for p in parts]
        if len(set(names)) == len(set(parts)):
            break
    return [dataclasses.replace(run, name=name) for run, name in zip(runs, names, strict=True)]
