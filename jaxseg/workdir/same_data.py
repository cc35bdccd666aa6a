"""Checks that the data is still that of the run, whenever a run folder is opened.

Classes never change within a run: their names and order are compared for any data, and for the
training set also the raw ids. Its examples may only differ if the user allows it (--changed_data).
An evaluation may use another set with the same classes; the record states that.
"""

import pathlib
from typing import Any

from jaxseg import config
from jaxseg.data import fingerprint as fingerprints
from jaxseg.data import loader
from jaxseg.data.fingerprint import Fingerprint
from jaxseg.data.labels import LabelSpec
from jaxseg.data.source import open_any
from jaxseg.runtime import processes
from jaxseg.workdir import data_identity

_ACCEPT = "--changed_data accepts other examples of the set (never other classes)"


def _refused(workdir: pathlib.Path, name: str, difference: str, way_out: str) -> ValueError:
    return ValueError(
        f"{workdir} was trained on other data than {name} is now: {difference}. {way_out}"
    )


def hold_classes(
    workdir: pathlib.Path,
    known: data_identity.Known,
    labels: LabelSpec,
    name: str,
    *,
    raw_ids: bool,
) -> None:
    """Checks that data has the classes of a run.

    Raises:
      ValueError: names the first class that differs.
    """
    if known.labels is None:
        return
    if found := fingerprints.class_difference(known.labels, labels, raw_ids=raw_ids):
        raise ValueError(
            f"{workdir} was trained on other classes than {name} has: {found}. Prepare the data "
            f"with the classes of {workdir / data_identity.LABELS}, or train in another --workdir"
        )


def hold_training(
    workdir: pathlib.Path,
    data: config.Data,
    opened: tuple[loader.Source, loader.Source] | None = None,
    *,
    changed_data: bool = False,
) -> list[str]:
    """Compares the data with which a run continues with the data with which it was started.

    Args:
      workdir: the run folder; without checkpoints there is nothing to compare with.
      data: the set and its splits.
      opened: (training, evaluation) splits, instead of those.
      changed_data: accept other examples.

    Returns: Lines to print: what could not be compared, or was accepted.

    Raises:
      ValueError: names the first difference.
    """
    if not data_identity.is_begun(workdir):
        return []
    try:
        source = opened[0] if opened else open_any(data.name, data.train_split, data.data_dir)
    except (ValueError, OSError):
        return []  # `preflight` reports why, together with all other faults
    known = data_identity.read(workdir)
    same_set = known.data is not None and known.data.name == data.name
    hold_classes(workdir, known, source.labels, data.name, raw_ids=same_set)
    if known.labels is None:
        return [
            f"{'; '.join(known.notes)}: it is unknown whether {data.name} is the data that it was "
            "trained on"
        ]
    if known.data is None or not isinstance(source, loader.Source):
        return list(known.notes)
    found = data_identity.training_difference(known, source, data)
    if not found:
        return [*known.notes, *_doubts(known.data, source.fingerprint, data.train_split)]
    if changed_data:
        return [*known.notes, f"accepted by --changed_data: {found}"]
    raise _refused(
        workdir,
        data.name,
        found,
        f"Start in another --workdir (--config.train.init_from={workdir} starts from its "
        f"parameters), or restore the data; {_ACCEPT}",
    )


def _doubts(run: Fingerprint, data: Fingerprint, split: str) -> list[str]:
    if fingerprints.is_whole(run, split) and fingerprints.is_whole(data, split):
        return []
    return [
        f"{data.name} was prepared by an earlier version, which stored no list of its examples: "
        "only "
        f"classes, counts and bytes of {split} are compared"
    ]


def hold_evaluation(
    workdir: pathlib.Path | None,
    source: Any,
    data: config.Data,
    *,
    weights: str | None = None,
    changed_data: bool = False,
) -> dict[str, Any]:
    """Compares the data on which a run is evaluated with the data on which it was trained.

    What could not be compared, or was accepted, is printed and recorded.

    Args:
      workdir: the run folder; None only with `weights`.
      source: the split to evaluate on.
      data: its set and split.
      weights: a file that is evaluated instead of the run: its data is unknown.
      changed_data: accept other examples of the run's own set.

    Returns: The entries about the data for the record of the evaluation.

    Raises:
      ValueError: names the first difference.
    """
    record = evaluated(source, data.eval_split)
    if weights or workdir is None:
        return record | {"compared": "the classes of a weight file are unknown"}
    known = data_identity.read(workdir)
    lines = _evaluation_lines(workdir, known, source, data, changed_data=changed_data)
    if processes.is_main():
        data_identity.say(lines)
    compared = "; ".join(lines) or "the classes and the examples are those of the run"
    return record | {"trained_on": known.data and known.data.name, "compared": compared}


def _evaluation_lines(
    workdir: pathlib.Path,
    known: data_identity.Known,
    source: Any,
    data: config.Data,
    *,
    changed_data: bool,
) -> list[str]:
    same_set = known.data is not None and known.data.name == data.name
    hold_classes(workdir, known, source.labels, data.name, raw_ids=same_set)
    if known.labels is None:
        return [
            f"{'; '.join(known.notes)}: it is unknown whether the classes of {data.name} are those "
            "that it was trained on"
        ]
    if known.data is None or not isinstance(source, loader.Source):
        return list(known.notes)
    if not same_set:
        return [
            f"{data.name} is another set than the run's, {known.data.name}; its classes are "
            "the same"
        ]
    found = fingerprints.split_difference(known.data, source.fingerprint, data.eval_split)
    if found and not changed_data:
        raise _refused(workdir, data.name, found, f"Restore the data; {_ACCEPT}")
    if found:
        return [*known.notes, f"accepted by --changed_data: {found}"]
    if data.eval_split not in known.data.splits:
        return [
            *known.notes,
            f"{data.eval_split} did not exist when the run was started: its classes are compared, "
            "but its examples cannot be",
        ]
    return [*known.notes, *_doubts(known.data, source.fingerprint, data.eval_split)]


def evaluated(source: Any, split: str) -> dict[str, Any]:
    """The entries about the data for the record of an evaluation.

    The digest is that of the names and bytes of all examples; None if these are unknown.
    """
    known = source.fingerprint if isinstance(source, loader.Source) else None
    if known is None or not fingerprints.is_whole(known, split):
        return {"data_digest": None}
    return {"data_digest": known.splits[split].digest}


def hold_origin(origin: pathlib.Path, labels: LabelSpec) -> tuple[str, list[str]]:
    """Compares the classes of a run with those of the run from whose parameters it starts.

    Args:
      origin: the folder of the other run, or of a converted file.
      labels: the classes of the run that starts.

    Returns: The first difference ("" if there is none, or nothing to compare); and lines to print.
    """
    known = data_identity.read(origin)
    if known.labels is None:
        return "", [
            f"{'; '.join(known.notes)}: it is unknown whether its head has the same classes"
        ]
    others = (f"run {origin}", "data")
    found = fingerprints.class_difference(known.labels, labels, raw_ids=False, others=others)
    return found, list(known.notes)
