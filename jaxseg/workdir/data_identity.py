"""What a run folder keeps of its data; `same_data` compares it with the data at hand.

labels.json   the classes: names, colours, raw ids (`LabelSpec.to_json`)
data.json     the set that was trained on (`jaxseg.data.fingerprint`) and its training split

So a run predicts when its data is gone. Folders of earlier versions keep neither file and are
opened all the same, with a line that says what could not be compared.
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
    """What a run folder keeps; None: not kept, or it cannot be read.

    Attributes:
      labels: its classes.
      data: the set that was trained on.
      train_split: the split of it.
      notes: why something is not there, for the user.
    """

    labels: LabelSpec | None
    data: Fingerprint | None
    train_split: str
    notes: tuple[str, ...] = ()


def read(workdir: pathlib.Path) -> Known:
    """What a run folder keeps of its data; what is damaged counts as not kept, and is noted."""
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
        notes.append(f"{workdir} keeps no list of its classes (an earlier version made it)")
    return Known(labels, data, split, tuple(notes))


def is_begun(workdir: pathlib.Path) -> bool:
    """Whether a run folder holds a checkpoint; it may be damaged."""
    return bool(saved_steps.saved_steps(workdir / "checkpoints"))


def keep(workdir: pathlib.Path, source: Any, data: config.Data) -> None:
    """Keeps the classes, and the set where it is a prepared one.

    Where the run goes on, what it keeps of the same data stays.

    Args:
      workdir: the run folder.
      source: what is trained on.
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
    """The first difference of the data of a run's training from a set at hand.

    Returns:
      "" where there is none; None where the run keeps nothing to compare.
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
    """Keeps the classes alone."""
    write_json(workdir / LABELS, json.loads(labels.to_json()))


def say(lines: list[str]) -> None:
    """Lines for the user, beside the output."""
    for line in lines:
        print(f"jaxseg: {line}", file=sys.stderr)


def labels_of(
    experiment: config.Experiment, workdir: pathlib.Path | None, *, changed_data: bool = False
) -> LabelSpec:
    """Names and colours: of the run folder, else of the prepared set, else of the set's builder.

    Args:
      experiment: names the data.
      workdir: the run folder, or None.
      changed_data: where the run's own set has other classes now, those of the run are taken.

    Raises:
      FileNotFoundError: none of the three is there; the message has the command that prepares.
      ValueError: there is no such data set; or the run's own has other classes now.
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
            now = sources.labels_of(folder) if sources.is_prepared(folder) else known.labels
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
    """The classes of the prepared set, else those that its name alone decides.

    Raises:
      FileNotFoundError: neither is there; the message has the command that prepares.
      ValueError: there is no such data set, or it is damaged.
    """
    folder = sources.prepared_folder(data.name, data.data_dir)
    if sources.is_prepared(folder):
        return sources.labels_of(folder)
    labels = published_sets.fixed_labels(data.name)
    return labels or loader.open_split(data.name, data.eval_split, data.data_dir).labels
