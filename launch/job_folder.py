"""The folder of a job of a sweep: what is to be done, and what came of it.

job.json       the experiment, the protocol of each row and its tag, the run to start from
outcome.json   written last: the tag of each row's evaluation, and the costs
"""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from jaxseg import config, results
from jaxseg.log import write_json

JOB, OUTCOME = "job.json", "outcome.json"


def write_job(
    folder: pathlib.Path,
    experiment: config.Experiment,
    protocols: Mapping[str, config.Eval],
    start: str,
) -> None:
    """job.json of a folder.

    Args:
      folder: made if it is not there.
      experiment: of the training.
      protocols: row -> how its number is measured.
      start: name of the folder beside it that holds the run to start from, or "".
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "experiment": config.to_dict(experiment),
        "protocols": {row: config.to_dict(protocol) for row, protocol in protocols.items()},
        "tags": tags(experiment, protocols),
        "start": start,
    }
    write_json(folder / JOB, values)


def tags(experiment: config.Experiment, protocols: Mapping[str, config.Eval]) -> dict[str, str]:
    """row -> the tag of its evaluation, under which eval/ has it."""
    split = experiment.data.eval_split
    return {row: results.tag(split, protocol) for row, protocol in protocols.items()}


def outcome(folder: pathlib.Path, wanted: Mapping[str, str]) -> dict[str, Any] | None:
    """outcome.json; None while it does not have all these evaluations, given as of `tags`."""
    try:
        values = json.loads((folder / OUTCOME).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return values if wanted.items() <= values["tags"].items() else None


def is_done(folder: pathlib.Path) -> bool:
    """Whether all that job.json wants is in outcome.json."""
    try:
        wanted = json.loads((folder / JOB).read_text())["tags"]
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return outcome(folder, wanted) is not None
