"""What a run folder stores about its data; `same_data` compares it with the current data.

labels.json   the classes: names, colours, raw ids (`LabelSpec.to_json`)
data.json     the set that was trained on (`jaxseg.data.fingerprint`) and its training split

So a run can predict without its data. Folders of earlier versions have neither file and can still
be opened; a message says what could not be compared.
"""

import dataclasses
import json
import pathlib
import sys
from typing import Any

from jaxseg import config
from jaxseg.data import fingerprint as fingerprints
from jaxseg.data import loader
from jaxseg.data import source as sources
from jaxseg.data.fingerprint import Fingerprint
from jaxseg.data.labels import LabelSpec
from jaxseg.data.prepare import published_sets
from jaxseg.workdir import files, saved_steps
from jaxseg.workdir.log import write_json

LABELS, DATA = "labels.json", "data.json"


@dataclasses.dataclass(frozen=True)
class Known:
    """The data identity stored in a run folder; None for what is missing or unreadable.

    Attributes:
      labels: its classes.
      data: the training set.
      train_split: the training split.
      notes: why something is missing, for the user.
    """

    labels: LabelSpec | None
    data: Fingerprint | None
    train_split: str
    notes: tuple[str, ...] = ()


def read(workdir: pathlib.Path) -> Known:
    """Reads what a run folder stores about its data; damaged files count as missing (noted)."""
    labels, data, split = None, None, ""
    notes = []
    try:
        labels = LabelSpec.from_json(json.dumps(files.read_object(workdir / LABELS)))
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        notes.append(f"{workdir / LABELS} cannot be read ({error})")
    try:
        values = files.read_object(workdir / DATA)
        data, split = fingerprints.from_json(values), str(values.get("train_split", ""))
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        notes.append(f"{workdir / DATA} cannot be read ({error})")
    if labels is None and data is not None:
        labels = data.labels
    if labels is None and not notes:
        notes.append(f"{workdir} has no list of its classes (it was made by an earlier version)")
    return Known(labels, data, split, tuple(notes))


def is_begun(workdir: pathlib.Path) -> bool:
    """Whether a run folder has a checkpoint, which may be damaged."""
    return bool(saved_steps.saved_steps(workdir / "checkpoints"))


def keep(workdir: pathlib.Path, source: Any, data: config.Data) -> None:
    """Stores the classes and, if it is a prepared set, the identity of the data.

    When a run is resumed, what is stored about the same data is kept.

    Args:
      workdir: the run folder.
      source: the training data.
      data: its set and split.
    """
    begun = is_begun(workdir)
    known = read(workdir) if begun else None
    if known is None or known.labels is None or known.notes:
        write_labels(workdir, source.labels)
    if not isinstance(source, loader.Source):
        if not begun:
            (workdir / DATA).unlink(missing_ok=True)
    elif known is None or training_difference(known, source, data) != "":
        values = source.fingerprint.to_json() | {"train_split": data.train_split}
        write_json(workdir / DATA, values)


def training_difference(known: Known, source: loader.Source, data: config.Data) -> str | None:
    """The first difference between the data of a run's training and the current set.

    Returns: "" if there is none; None if the run stores nothing to compare.
    """
    if known.data is None:
        return None
    if known.data.name != data.name:
        return f"the set is {known.data.name} in the run and {data.name} now"
    if known.train_split and known.train_split != data.train_split:
        return f"the training split is {known.train_split} in the run and {data.train_split} now"
    for split in (data.train_split, data.eval_split):
        if found := fingerprints.split_difference(known.data, source.fingerprint, split):
            return found
    return ""


def write_labels(workdir: pathlib.Path, labels: LabelSpec) -> None:
    """Stores only the classes."""
    write_json(workdir / LABELS, json.loads(labels.to_json()))


def say(lines: list[str]) -> None:
    """Prints lines for the user on standard error."""
    for line in lines:
        print(f"jaxseg: {line}", file=sys.stderr)


def labels_of(
    experiment: config.Experiment, workdir: pathlib.Path | None, *, changed_data: bool = False
) -> LabelSpec:
    """The classes: from the run folder, else the prepared set, else the builder of the set.

    Args:
      experiment: names the data.
      workdir: the run folder, or None.
      changed_data: use the classes of the run even if its own set has other classes now.

    Raises:
      FileNotFoundError: none of the three is available; the message has the command that prepares
        the set.
      ValueError: there is no such data set; or the run's own set has other classes now.
    """
    data = experiment.data
    known = read(workdir) if workdir is not None else None
    if known is None or known.labels is None:
        if known is not None:
            say([f"{'; '.join(known.notes)}: names and colours are those of {data.name}"])
        return labels_of_data(data)
    assert workdir is not None
    say(list(known.notes))
    if not changed_data and (known.data is None or known.data.name == data.name):
        try:
            folder = sources.prepared_folder(data.name, data.data_dir)
            now = (
                sources.labels_of(folder, data.name)
                if sources.is_prepared(folder)
                else known.labels
            )
        except ValueError:
            return known.labels  # the data is not needed
        raw_ids = known.data is not None
        if found := fingerprints.class_difference(known.labels, now, raw_ids=raw_ids):
            raise ValueError(
                f"{data.name} in {data.data_dir} has other classes now than {workdir} was trained "
                f"on: {found}. --changed_data predicts with those of the run"
            )
    return known.labels


def labels_of_data(data: config.Data) -> LabelSpec:
    """The classes of the prepared set or, without it, those determined by its name.

    Raises:
      FileNotFoundError: neither is available; the message has the command that prepares the set.
      ValueError: there is no such data set, or it is damaged.
    """
    folder = sources.prepared_folder(data.name, data.data_dir)
    if sources.is_prepared(folder):
        return sources.labels_of(folder, data.name)
    labels = published_sets.fixed_labels(data.name)
    return labels or sources.open_any(data.name, data.eval_split, data.data_dir).labels
