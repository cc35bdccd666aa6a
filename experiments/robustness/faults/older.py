"""Run folders of another version: a field removed, a field added, a class missing."""

import json
import shutil
from collections.abc import Callable
from typing import Any

from experiments.robustness.faults import process, small
from experiments.robustness.faults.process import Place

_REFUSED, _DONE = 2, 0  # exit statuses


def _gone(values: dict[str, Any]) -> None:
    values["optim"]["learning_speed"] = 1.0


def _new(values: dict[str, Any]) -> None:
    del values["data"]["augment"]["photometric"]


def _needed(values: dict[str, Any]) -> None:
    del values["model"]["num_classes"]


def _class(values: dict[str, Any]) -> None:
    values["model"]["class"] = "jaxseg.models.segnet_basic:SegNetFirst"


def _case(
    place: Place, name: str, change: Callable[[dict[str, Any]], None], status: int, says: str
) -> dict[str, Any]:
    run = place.folder / f"older_{name}"
    shutil.copytree(place.undisturbed(small.STEPS), run)
    values = json.loads((run / "config.json").read_text())
    change(values)
    (run / "config.json").write_text(json.dumps(values))
    command = place.training(run, "--mode=evaluate")
    command = [part for part in command if not part.startswith("--config=")]
    ended = process.finish(process.start(command), place)
    said = [line for line in ended.lines if says in line]
    return {
        "passed": ended.status == status and len(said) == 1 and len(ended.errors) <= 1,
        "status": ended.status,
        "said": said or ended.lines,
    }


def drill(place: Place) -> dict[str, Any]:
    """All cases, named by what the older config has or lacks."""
    cases = {
        "a field that this version lacks": _case(
            place, "gone", _gone, _REFUSED, "Optim has no field learning_speed"
        ),
        "no value of a newer field": _case(place, "new", _new, _DONE, "lacks Augment.photometric"),
        "no value of a field without default": _case(
            place, "needed", _needed, _REFUSED, "SegNetBasic needs the field num_classes"
        ),
        "a class that this version lacks": _case(
            place, "class", _class, _REFUSED, "this code has no jaxseg.models.segnet_basic"
        ),
    }
    return {"passed": all(case["passed"] for case in cases.values()), "cases": cases}
