"""Disks that fill up or do not answer, kills, damaged run folders, and names that do harm."""

import csv
import errno
import functools
import io
import json
import os
import pathlib
import random
import shutil
import warnings
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from experiments.robustness.field_reports import situation
from experiments.robustness.field_reports.situation import Seen, Situation
from experiments.robustness.fuzz import configs, harm, run_folders
from jaxseg import report, whole_file
from jaxseg.cli import stored_config
from jaxseg.reporting import figures, run_folder
from jaxseg.state import TrainState
from jaxseg.workdir import checkpoint, checkpoint_reading, environment, escape, log

_CHECKPOINTS = "tests/workdir/test_checkpoint.py::"
_DAMAGED = "tests/workdir/test_damaged_runs.py::"
_FLIPS = 60


def _state(step: int) -> TrainState:
    values = jax.random.normal(jax.random.key(step), (4000,))
    return TrainState(jnp.int32(step), {"kernel": values}, {}, {})


def _saved(folder: pathlib.Path) -> pathlib.Path:
    """A folder with the steps 1 and 2."""
    with checkpoint.Checkpoints(folder / "checkpoints", keep=5) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, _state(step), {"next": step}, wait=True)
    return folder / "checkpoints"


def _restored(folder: pathlib.Path) -> tuple[int, bool]:
    """The step that a run goes on from, and whether its values are those that were saved."""
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
            lambda: _restored(kept), "cannot be read for now", os.strerror(number).lower(), "again"
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


def _run(folder: pathlib.Path) -> pathlib.Path:
    run_folders.make(folder / "run", configs.experiment(folder / "data"))
    return folder / "run"


def _reported(folder: pathlib.Path) -> Seen:
    good, count = _run(folder), 0
    names = ["config.json", "environment.json", "metrics.jsonl", "eval/val.json", "eval/val.npz"]
    with mock.patch.object(figures, "plots", return_value=[]):
        for name in names:
            for number in range(12):
                copy = folder / "copy"
                shutil.copytree(good, copy)
                harm.of_file(random.Random(number), copy / name)
                report.write([copy], folder / "out")
                shutil.rmtree(copy)
                count += 1
    return Seen(situation.RIGHT, f"{count} harmed run folders, each with its report")


def _resumed(folder: pathlib.Path) -> Seen:
    run = _run(folder)
    for name, content in {
        "environment.json": b"[1, 2]",
        "config.json": b"\xff\xfe{",
        "metrics.jsonl": b"[[\n\xff\n",
    }.items():
        (run / name).write_bytes(content)
    environment.describe_run(configs.experiment(folder / "data"), run, None, 20)
    writer = log.Writer(run, 20)
    writer.write("train", 21, {"loss": 1.0})
    writer.close()
    kept = sorted(path.name for path in run.glob("*.damaged"))
    names = ["config.json.damaged", "environment.json.damaged", "metrics.jsonl.damaged"]
    whole = run_folder.load(run).train[-1]["step"] == 21
    return situation.right(whole and kept == names, f"the run goes on; kept: {', '.join(kept)}")


def _config(folder: pathlib.Path) -> Seen:
    run = _run(folder)
    (run / "config.json").write_bytes((run / "config.json").read_bytes()[:100])
    return situation.refusal(lambda: stored_config.get_config(str(run)), "config.json is not JSON")


def _cache(folder: pathlib.Path) -> Seen:
    from jax.experimental.compilation_cache import compilation_cache

    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    for name, value in zip(names, (str(folder), 0), strict=True):
        jax.config.update(name, value)
    try:
        results = []
        for _ in range(2):
            compilation_cache.reset_cache()
            jax.clear_caches()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # JAX names the entry
                results.append(float(jax.jit(lambda x: jnp.sin(x) @ x)(jnp.ones(7))))
            for path in folder.rglob("*"):
                if path.is_file():
                    path.write_bytes(path.read_bytes()[:50])
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
    return situation.right(results[0] == results[1], "compiled again, with a warning")


def _links(folder: pathlib.Path) -> Seen:
    run, other = _run(folder), folder / "other"
    other.write_text("another's")
    for name in ("config.json", "environment.json", "report.md", "report.html"):
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(other)
    environment.describe_run(configs.experiment(folder / "data"), run, None, 0)
    report.write([run])
    situation.check(other.read_text() == "another's", "written through a link")
    (run / "eval").rename(folder / "eval")
    (run / "eval").symlink_to(folder / "eval")
    return situation.refusal(
        lambda: whole_file.folder_in(run, "eval"), "eval is a symbolic link", "name it"
    )


def _names(folder: pathlib.Path) -> Seen:
    run, name = _run(folder), "a|b\n<script>alert(1)</script>"
    record = json.loads((run / "eval" / "val.json").read_text())
    (run / "eval" / "val.json").write_text(json.dumps(record | {"data": name}))
    text = report.write([run], folder)
    page = (folder / "report.html").read_text()
    situation.check("<script>alert" not in text + page, "a name is a tag")
    file = io.StringIO()
    csv.writer(file).writerow(escape.csv_row(["=1+1", -0.5]))
    return situation.right(file.getvalue() == "'=1+1,-0.5\r\n", "tags, cells and formulas are text")


SITUATIONS: tuple[Situation, ...] = (
    Situation(
        "I",
        "60 single bits flipped over the files of a checkpoint of 4,000 values",
        "52 of 60 changed parameters without a word (a checkpoint of 16,000 values)",
        _CHECKPOINTS + "test_each_of_sixty_flipped_bits_is_noticed_or_harmless",
        _flipped_bits,
    ),
    *(
        Situation(
            "I",
            f"the newest checkpoint cannot be read for now: {os.strerror(number).lower()}",
            "deleted as damaged; the run went on from the older one",
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
        "test_a_full_disk_at_each_moment_leaves_whole_files_and_a_repeat_mends_it",
        _full_disk,
    ),
    Situation(
        "I",
        "a process killed while it writes a file",
        "val.json.PID.tmp was left, and the next write did not remove it",
        "tests/test_whole_file.py::test_what_a_killed_process_left_is_swept_up_and_nothing_else",
        _killed,
    ),
    Situation(
        "I",
        "a report on run folders with one damaged file",
        "a traceback for 10 of 63",
        _DAMAGED + "test_a_report_names_what_it_cannot_read",
        _reported,
    ),
    Situation(
        "I",
        "a run resumed with damaged config.json, environment.json and metrics.jsonl",
        "a traceback for 10 of 36 single harms",
        _DAMAGED + "test_a_resumed_run_sets_aside_what_is_damaged",
        _resumed,
    ),
    Situation(
        "I",
        "config.json is cut short, and the run is evaluated without --config",
        "right",
        "tests/cli/test_config.py",
        _config,
    ),
    Situation(
        "I",
        "an entry of the cache of compiled programs is cut short",
        "right",
        _DAMAGED + "test_a_damaged_entry_of_the_compile_cache_is_compiled_again",
        _cache,
    ),
    Situation(
        "J",
        "symbolic links in a run folder",
        "experiment.py, .lock, report.md and report.html were written through; pictures not tried",
        "tests/workdir/test_damaged_runs.py::test_links_in_a_run_folder_are_never_written_through",
        _links,
    ),
    Situation(
        "J",
        "names with |, line breaks, tags and formulas in reports and tables",
        "a line break ended a row and a tag stood in report.md; formulas in CSV: not tried",
        "tests/workdir/test_escape.py",
        _names,
    ),
)
