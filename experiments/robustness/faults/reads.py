"""A shard that is truncated, damaged or removed during a run, then restored."""

import pathlib
import shutil
from collections.abc import Callable
from typing import Any

from experiments.robustness.faults import ends, process, small
from experiments.robustness.faults.process import Place


def _cut(file: pathlib.Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _zeros(file: pathlib.Path) -> None:
    """Overwrites 4096 bytes in the middle, among the examples, with zeros."""
    data = file.read_bytes()
    middle = len(data) // 2
    file.write_bytes(data[:middle] + bytes(4096) + data[middle + 4096 :])


def _case(
    place: Place,
    name: str,
    split: str,
    harm: Callable[[pathlib.Path], None],
    *,
    running: bool,
) -> dict[str, Any]:
    """Damages a copy of the data, before the start or after the first step."""
    data, run = place.folder / f"data_{name}", place.folder / f"run_{name}"
    shutil.copytree(place.data, data)
    shard = place.shard(split, data)
    command = place.training(run, data=data)
    if not running:
        harm(shard)
    started = process.start(command)
    if running:
        process.wait_until(started, lambda: ends.last_logged(run) > 0)
        harm(shard)
    ended = process.finish(started, place)
    shutil.copyfile(place.shard(split), shard)
    again = process.finish(process.start(command), place)
    end = ends.compare(run, place.undisturbed(small.STEPS)) if not again.status else {}
    names_it = any(shard.name in line for line in ended.errors)
    whole = bool(end.get("same_bits") and end.get("same_log"))
    return {
        "passed": ended.one_error and names_it and whole,
        "status": ended.status,
        "said": ended.errors,
        "names_the_file": names_it,
        "then_mended": {"status": again.status, "end": end},
    }


def drill(place: Place) -> dict[str, Any]:
    """All cases."""
    cases = {
        "cut": _case(place, "cut", "train", _cut, running=False),
        "damaged": _case(place, "damaged", "train", _zeros, running=False),
        "vanished": _case(place, "vanished", "val", pathlib.Path.unlink, running=True),
    }
    return {"passed": all(case["passed"] for case in cases.values()), "cases": cases}
