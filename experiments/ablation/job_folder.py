"""The folder of a job of a sweep: its definition and its outcome.

job.json       the experiment, the protocol of each row and its tag, the run that initialises it
outcome.json   written last: the tag of each row's evaluation, and the costs; of a detector also
               COCO's numbers at the last step, from its log
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from jaxseg import config
from jaxseg.cli import stored_config
from jaxseg.workdir import eval_folder, files, per_image, schema
from jaxseg.workdir.log import write_json

JOB, OUTCOME = "job.json", "outcome.json"
_OUTCOME: Mapping[str, files.Check] = {
    "tags": files.mapping_of(files.is_text),
    "parameters": files.is_number,
    "multiply_adds": files.mapping_of(files.is_number),
}
_OF_TASK: Mapping[str, files.Check] = {  # a semantic network has the first, a detector the other
    "memory": files.is_number,
    "scores": files.mapping_of(files.is_number),
}


@dataclasses.dataclass(frozen=True)
class StoredJob:
    """The contents of job.json."""

    experiment: config.Experiment
    protocols: dict[str, config.Eval]  # row -> protocol of its evaluation
    start: str  # name of the sibling folder with the run that initialises this one, or ""
    data: str  # hash of the prepared data at planning time; "" if unknown


def read(folder: pathlib.Path) -> StoredJob:
    """Reads job.json of a folder. As with a run's config.json, nothing in it is executed.

    Raises:
      ValueError: the file is missing, or was not written by this version of the code.
    """
    path = folder / JOB
    try:
        values = json.loads(files.read_bytes(path))
    except FileNotFoundError:
        raise ValueError(f"{folder} holds no {JOB}: launch.sweep writes it") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}; launch.sweep writes it again") from error
    try:
        experiment = config.from_dict(values["experiment"])
        protocols = {row: config.from_dict(part) for row, part in values["protocols"].items()}
        start, data = values["start"], str(values.get("data", ""))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {error}; launch.sweep writes it again") from error
    if not isinstance(experiment, config.Experiment):
        raise ValueError(f"{path} holds no experiment; launch.sweep writes it again")
    if not all(isinstance(protocol, config.Eval) for protocol in protocols.values()):
        raise ValueError(f"{path}: a protocol is not a config.Eval; launch.sweep writes it again")
    if not isinstance(start, str) or start == ".." or pathlib.Path(start).name != start:
        raise ValueError(f"{path}: start={start!r} is not the name of a folder beside this one")
    return StoredJob(stored_config.without_cache(experiment), protocols, start, data)


def write_job(
    folder: pathlib.Path,
    experiment: config.Experiment,
    protocols: Mapping[str, config.Eval],
    start: str,
    data: str = "",
) -> None:
    """Writes job.json of a folder.

    Args:
      folder: created if necessary.
      experiment: of the training.
      protocols: row -> protocol of its evaluation.
      start: name of the sibling folder with the run that initialises this one, or "".
      data: `experiments.ablation.code_version.of_data` of its data; "" for no comparison.

    Raises:
      ValueError: `read` would refuse a class of the experiment.
    """
    if foreign := config.foreign_classes(experiment):
        raise ValueError(
            f"a job holds only classes of jaxseg, since it imports no other code: {foreign[0]} is "
            "to stand in jaxseg/models"
        )
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "experiment": config.to_dict(experiment),
        "protocols": {row: config.to_dict(protocol) for row, protocol in protocols.items()},
        "tags": tags(experiment, protocols),
        "start": start,
        "data": data,
    }
    write_json(folder / JOB, values)


def tags(experiment: config.Experiment, protocols: Mapping[str, config.Eval]) -> dict[str, str]:
    """row -> the tag of its evaluation in eval/."""
    split = experiment.data.eval_split
    return {row: eval_folder.tag(split, protocol) for row, protocol in protocols.items()}


def outcome(folder: pathlib.Path, wanted: Mapping[str, str]) -> dict[str, Any] | None:
    """Reads outcome.json; None unless all of these evaluations, given as by `tags`, exist.

    If it or one of its evaluations is damaged, the result is None too, and the job is run again.
    """
    checks = {**_OUTCOME, **_OF_TASK}
    try:
        values, damaged = files.cleaned(files.read_object(folder / OUTCOME), checks)
    except (OSError, ValueError):
        return None
    if damaged or not _OUTCOME.keys() <= values.keys() or not _OF_TASK.keys() & values.keys():
        return None
    tags, costs = values["tags"], values["multiply_adds"]
    if not (wanted.items() <= tags.items() and wanted.keys() <= costs.keys()):
        return None
    if "scores" in values or all(is_evaluated(folder, tag) for tag in wanted.values()):
        return values
    return None


def is_evaluated(folder: pathlib.Path, tag: str, step: int | None = None) -> bool:
    """Whether an evaluation is complete and, if a step is given, of that step."""
    path = folder / "eval" / tag
    try:
        values = files.read_object(path.with_name(f"{tag}.json"))
        per_image.read(path.with_name(f"{tag}.npz"))
    except (OSError, ValueError):
        return False
    metrics = values.get("metrics")
    if not isinstance(metrics, dict) or not {"miou_truth", "iou"} <= metrics.keys():
        return False
    if files.cleaned(metrics, schema.METRICS)[1]:
        return False
    return step is None or values.get("step") == step


def is_done(folder: pathlib.Path) -> bool:
    """Whether outcome.json has every row of job.json; `outcome` also checks the evaluations."""
    try:
        wanted: Any = files.read_object(folder / JOB).get("tags")
    except (OSError, ValueError):
        return False
    if not files.mapping_of(files.is_text)(wanted):
        return False
    try:
        tags: Any = files.read_object(folder / OUTCOME).get("tags")
    except (OSError, ValueError):
        return False
    return isinstance(tags, dict) and wanted.items() <= tags.items()
