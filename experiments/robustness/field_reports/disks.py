"""I. Full or unresponsive disks, damaged checkpoints, and kills."""

import errno
import functools
import json
import os
import pathlib
import random
import shutil
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from experiments.robustness.field_reports import situation
from experiments.robustness.field_reports.situation import Seen, Situation
from jaxseg import whole_file
from jaxseg.state import TrainState
from jaxseg.workdir import checkpoint, checkpoint_reading, log

_CHECKPOINTS = "tests/workdir/test_checkpoint.py::"
_FLIPS = 60


def _state(step: int) -> TrainState:
    values = jax.random.normal(jax.random.key(step), (4000,))
    return TrainState(jnp.int32(step), {"kernel": values}, {}, {})


def _saved(folder: pathlib.Path) -> pathlib.Path:
    """A folder with checkpoints of steps 1 and 2."""
    with checkpoint.Checkpoints(folder / "checkpoints", keep=5) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, _state(step), {"next": step}, wait=True)
    return folder / "checkpoints"


def _restored(folder: pathlib.Path) -> tuple[int, bool]:
    """The step from which a run resumes, and whether its values are the saved ones."""
    abstract = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), _state(0)
    )
    with checkpoint.Checkpoints(folder, keep=5) as checkpoints:
        found = checkpoints.restore(abstract)
    if found is None:
        raise situation.Fault("nothing was restored")
    state, place = found
    step = place["next"]
    return step, bool(np.array_equal(state.params["kernel"], _state(step).params["kernel"]))


def _flipped_bits(folder: pathlib.Path) -> Seen:
    good = _saved(folder)
    counts = {"as it was saved": 0, "the step before": 0, "refused": 0}
    for number in range(_FLIPS):
        copy = folder / str(number)
        shutil.copytree(good, copy)
        files = sorted(path for path in (copy / "2").rglob("*") if path.is_file())
        sizes = [path.stat().st_size for path in files]
        rng = random.Random(number)
        path = rng.choices(files, sizes)[0]
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        try:
            step, same = _restored(copy)
        except (OSError, ValueError):
            counts["refused"] += 1
            continue
        situation.check(same, f"{path.relative_to(copy)}: wrong values of step {step}")
        counts["as it was saved" if step == 2 else "the step before"] += 1
    text = ", ".join(f"{count} {name}" for name, count in counts.items())
    return Seen(situation.RIGHT, f"{_FLIPS} flipped bits: {text}")


def _not_now(folder: pathlib.Path, number: int) -> Seen:
    kept, real = _saved(folder), checkpoint_reading.metadata

    def refuse(manager: object, step: int) -> object:
        if step == 2:
            raise OSError(number, os.strerror(number), "state")
        return real(manager, step)

    with mock.patch.object(checkpoint_reading, "metadata", refuse):
        seen = situation.refusal(
            lambda: _restored(kept),
            "cannot be read at the moment",
            os.strerror(number).lower(),
            "again",
        )
    situation.check(_restored(kept) == (2, True), "step 2 is not used afterwards")
    return seen


def _damaged_newest(folder: pathlib.Path) -> Seen:
    kept = _saved(folder)
    for path in (kept / "2" / "state").rglob("d/*"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    step, same = _restored(kept)
    there = (kept / "2.damaged").is_dir()
    return situation.right(step == 1 and same and there, "step 1 is used, 2 is kept as 2.damaged")


def _without_checksums(folder: pathlib.Path) -> Seen:
    kept = _saved(folder)
    shutil.rmtree(kept / "2" / "checksums")
    return situation.right(_restored(kept) == (2, True), "step 2 is used and said to be unverified")


def _full_disk(folder: pathlib.Path) -> Seen:
    path = folder / "val.json"
    log.write_json(path, {"step": 1})
    for name in ("open", "fsync", "replace"):
        error = OSError(errno.ENOSPC, "No space left on device")
        with mock.patch.object(whole_file.os, name, side_effect=error):
            seen = situation.refusal(lambda: log.write_json(path, {"step": 2}), "No space")
        situation.check(json.loads(path.read_text()) == {"step": 1}, "the old file is not whole")
        situation.check([p.name for p in folder.iterdir()] == [path.name], "something is left")
    return seen


def _killed(folder: pathlib.Path) -> Seen:
    path = folder / "val.json"
    if not (process := os.fork()):
        with whole_file.writing(path) as file:
            file.write(b"{")
            file.flush()
            os._exit(0)
    os.waitpid(process, 0)
    left = [p.name for p in folder.iterdir()]
    situation.check(path.name not in left, "half a file has the final name")
    whole_file.sweep(folder)
    situation.check(not list(folder.iterdir()), f"left behind: {left}")
    return Seen(situation.RIGHT, "nothing under the final name; what was left is swept up")


SITUATIONS: tuple[Situation, ...] = (
    Situation(
        "I",
        "60 single bits flipped over the files of a checkpoint of 4,000 values",
        "52 of 60 changed parameters silently (a checkpoint of 16,000 values)",
        _CHECKPOINTS + "test_each_of_sixty_flipped_bits_is_noticed_or_harmless",
        _flipped_bits,
    ),
    *(
        Situation(
            "I",
            f"the newest checkpoint cannot be read for now: {os.strerror(number).lower()}",
            "deleted as damaged; the run continued from the older one",
            _CHECKPOINTS + "test_what_cannot_be_read_for_now_is_neither_moved_nor_passed_over",
            functools.partial(_not_now, number=number),
        )
        for number in (errno.EACCES, errno.EIO, errno.ESTALE)
    ),
    Situation(
        "I",
        "the newest checkpoint is cut short",
        "deleted; the older one was used",
        _CHECKPOINTS + "test_broken_newest_step_falls_back_and_later_saves_work",
        _damaged_newest,
    ),
    Situation(
        "I",
        "a checkpoint of a version without checksums",
        "right",
        _CHECKPOINTS + "test_a_checkpoint_of_a_version_without_checksums_is_taken_and_said",
        _without_checksums,
    ),
    Situation(
        "I",
        "a full disk at each moment of writing a file",
        "report.md was left cut short at 100 bytes; val.json stayed whole; pictures not tried",
        "tests/workdir/test_writers.py::"
        "test_a_full_disk_at_each_moment_leaves_whole_files_and_a_repeat_fixes_it",
        _full_disk,
    ),
    Situation(
        "I",
        "a process killed while it writes a file",
        "val.json.PID.tmp was left, and the next write did not remove it",
        "tests/test_whole_file.py::test_what_a_killed_process_left_is_swept_up_and_nothing_else",
        _killed,
    ),
)
