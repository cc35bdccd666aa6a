"""A disk fills up during a save and is freed again: a tmpfs in a private mount namespace."""

import pathlib
import subprocess
from typing import Any

from experiments.robustness.faults import ends, process, small
from experiments.robustness.faults.process import Ended, Place

_FULL, _ROOMY = "1200k", "64m"  # a checkpoint takes 0.2 MB
_SCRIPT = """
mount -t tmpfs -o size=$1 tmpfs "$3" || exit 99
full=$1 roomy=$2 disk=$3 out=$4; shift 4
"$@" 2> "$out/full"; echo $? > "$out/full.status"
ls "$disk/run/checkpoints" > "$out/full.checkpoints"
mount -o remount,size=$roomy "$disk"
"$@" 2> "$out/roomy"; echo $? > "$out/roomy.status"
cp -a "$disk/run" "$out/run"
"""


def _ended(out: pathlib.Path, name: str, place: Place) -> Ended:
    lines = place.plain((out / name).read_text()).splitlines()
    said = [line for line in lines if line.startswith("jaxseg: ") or "Traceback" in line]
    return Ended(int((out / f"{name}.status").read_text()), said, 0.0)


def drill(place: Place) -> dict[str, Any]:
    """Runs on a disk with room for a few checkpoints, then again with more room."""
    disk, out = place.folder / "disk", place.folder / "disk_out"
    disk.mkdir()
    out.mkdir()
    command = place.training(disk / "run", "--config.train.keep=100")
    done = subprocess.run(
        [
            "unshare",
            "-Urm",
            "sh",
            "-c",
            _SCRIPT,
            "sh",
            _FULL,
            _ROOMY,
            str(disk),
            str(out),
            *command,
        ],
        cwd=process.ROOT,
        env=process.environment(),
        capture_output=True,
        text=True,
    )
    if not (out / "roomy.status").is_file():
        why = (done.stderr.strip() or "no mount").splitlines()[-1]
        return {"passed": True, "skipped": f"no tmpfs can be mounted here ({why})"}
    full, roomy = _ended(out, "full", place), _ended(out, "roomy", place)
    names = (out / "full.checkpoints").read_text().split()
    good = sorted(int(name) for name in names if name.isdigit())
    end = ends.compare(out / "run", place.undisturbed(small.STEPS)) if not roomy.status else {}
    return {
        "passed": full.one_error
        and "no space left on device" in full.errors[0]
        and bool(good)
        and bool(end.get("same_bits") and end.get("same_log")),
        "by": "a tmpfs that is full: error 28, no space left on device",
        "said": full.lines,
        "good_checkpoints": good,
        "unfinished_saves": sum(not name.isdigit() for name in names),
        "then_with_room": {"status": roomy.status, "end": end},
    }
