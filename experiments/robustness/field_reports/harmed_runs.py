"""I and J. Run folders with damaged files, with links, and with harmful names."""

import csv
import io
import json
import pathlib
import random
import shutil
import warnings
from unittest import mock

import jax
import jax.numpy as jnp

from experiments.robustness.field_reports import situation
from experiments.robustness.field_reports.situation import Seen, Situation
from experiments.robustness.fuzz import configs, harm, run_folders
from jaxseg import report, whole_file
from jaxseg.cli import stored_config
from jaxseg.reporting import figures, run_folder
from jaxseg.workdir import environment, escape, log

_DAMAGED = "tests/workdir/test_damaged_runs.py::"


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
    return Seen(situation.RIGHT, f"{count} damaged run folders, each with its report")


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
                warnings.simplefilter("ignore")  # JAX chooses the name of the entry
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
        "a report on run folders with one damaged file",
        "a traceback for 10 of 63",
        _DAMAGED + "test_a_report_names_what_it_cannot_read",
        _reported,
    ),
    Situation(
        "I",
        "a run resumed with damaged config.json, environment.json and metrics.jsonl",
        "a traceback for 10 of 36 cases",
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
