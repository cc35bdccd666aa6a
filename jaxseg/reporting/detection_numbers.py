"""The numbers of a detector, or of a network of proposals, that a report shows."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxseg.metrics.definitions import DETECTION, PROPOSALS
from jaxseg.reporting.run import Run

LOGGED = {"bbox": "box", "segm": "mask"}  # the words of the log


def metrics(run: Run) -> dict[str, dict[str, Any]]:
    """Kind -> the numbers of the main evaluation, else of the last one during training."""
    if run.detections:
        return dict(run.detections[0].record["metrics"])
    if not run.tests:
        return {}
    line = run.tests[-1]
    found = {
        kind: {
            name: line[f"{of} {name}"]
            for name in (*DETECTION, *PROPOSALS)
            if f"{of} {name}" in line
        }
        for kind, of in LOGGED.items()
    }
    return {kind: values for kind, values in found.items() if values}


def headline(found: Mapping[str, Any]) -> str:
    """The kind by which a detector is ranked: masks where there are any."""
    return "segm" if "segm" in found else "bbox"


def of_proposals(found: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether the numbers of the kinds are those of proposals, which have recall alone."""
    return any("AR@1" in of for of in found.values())


def main_number(of: Mapping[str, Any]) -> str:
    """The number by which a kind is ranked: AP, or AR@1000 of proposals."""
    return "AR@1000" if "AR@1" in of else "AP"


def definitions(every: Sequence[Mapping[str, Mapping[str, Any]]]) -> dict[str, str]:
    """The numbers to show of runs: COCO's twelve, those of proposals, or both."""
    proposals = [of_proposals(found) for found in every]
    shown = PROPOSALS if any(proposals) else {}
    return dict(shown) if all(proposals) and proposals else DETECTION | shown


def named(kind: str, name: str) -> str:
    """The name of a number: mask AP50."""
    return f"{LOGGED[kind]} {name}"
