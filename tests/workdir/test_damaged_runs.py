"""Every file of a run folder damaged in every way: the report names it, a resumed run goes on."""

import itertools
import json
import os
import pathlib
import shutil

import numpy as np
import pytest

from experiments.ablation import job_folder
from jaxseg import report
from jaxseg.reporting import figures, plots, run_folder
from jaxseg.workdir import environment, log
from tests.reporting.test_run_folder import CONFUSION, experiment, write_evaluation, write_run

FILES = (
    "config.json",
    "environment.json",
    "metrics.jsonl",
    "experiment.py",
    "eval/val.json",
    "eval/val.npz",
    "eval/val/best_1_a_1.png",
)


def _empty(path):
    path.write_bytes(b"")


def _truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _binary(path):
    path.write_bytes(np.random.default_rng(0).bytes(500) + b"\n\xff\x00")


def _list(path):
    path.write_text("[[1, 2], {}]\n")


def _text(path):
    path.write_text('"text"\n')


def _folder(path):
    path.unlink()
    path.mkdir()


def _dangling(path):
    path.unlink()
    path.symlink_to("nowhere")


def _loop(path):
    path.unlink()
    path.symlink_to(path.name)


def _pipe(path):
    path.unlink()
    os.mkfifo(path)


def _deep(path):
    path.write_text("[" * 100_000)


HARMS = (_empty, _truncated, _binary, _list, _text, _folder, _dangling, _loop, _pipe, _deep)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp("good") / "run", evaluated=False)
    counts = np.stack([CONFUSION, 2 * CONFUSION, 0 * CONFUSION])
    write_evaluation(folder, counts=counts)
    (folder / "experiment.py").write_text('"""A net.\n\nExpected: 0.7\n"""\n')
    return folder


@pytest.fixture
def run(good, tmp_path):
    return pathlib.Path(shutil.copytree(good, tmp_path / "run"))


@pytest.fixture(autouse=True)
def no_plots(monkeypatch):
    """Plots are drawn by the tests of values alone: they take half a second each."""
    monkeypatch.setattr(plots, "image", lambda _: ("data:,", "data:,"))


def written(folder):
    """The text of a report on the run, after the page was made too."""
    text = report.write([folder])
    assert (folder / "report.html").stat().st_size > 1000
    return text


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", FILES)
def test_a_report_names_what_it_cannot_read(run, monkeypatch, name, harm):
    if name not in ("metrics.jsonl", "eval/val.json"):
        monkeypatch.setattr(figures, "plots", lambda _: [])
    harm(run / name)
    text = written(run)
    if name != "experiment.py":  # of which a report needs one sentence that may be missing
        harmless = harm in (_empty, _truncated) and name == "metrics.jsonl"
        assert harmless or pathlib.Path(name).name in text or "eval/val" in text
        assert harmless or any(word in text for word in ("left out", "There is no config.json"))


ODD = [None, True, "text", -1, 1.5, [], {}, [None], {"a": None}, 10**400, 1e308, "<b>|\n", [[]]]


def _paths(value, prefix=()):
    """The places of all values of a JSON tree; of a list, its first item's."""
    if prefix:
        yield prefix
    if isinstance(value, list):
        value = dict(enumerate(value[:1]))
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _paths(item, (*prefix, key))


def _with(value, path, new):
    key, *rest = path
    part = value.copy()
    part[key] = _with(value[key], rest, new) if rest else new
    return part


def _without(value, path):
    key, *rest = path
    part = value.copy()
    if rest:
        part[key] = _without(value[key], rest)
    else:
        del part[key]
    return part


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])  # each 7th value
@pytest.mark.parametrize("name", ["config.json", "environment.json", "eval/val.json"])
def test_any_value_of_another_kind_is_left_out_of_the_report(run, monkeypatch, name, step):
    values = json.loads((run / name).read_text())
    if not name.startswith("eval"):
        monkeypatch.setattr(figures, "plots", lambda _: [])
    for number, path in itertools.islice(enumerate(_paths(values)), 0, None, step):
        odd = ODD[number % len(ODD)]
        changed = _with(values, path, odd) if number % 4 else _without(values, path)
        (run / name).write_text(json.dumps(changed))
        loaded = [run_folder.load(run)]
        assert report.markdown(loaded)
        assert report.page.html(loaded).rstrip().endswith("</html>")


@pytest.mark.parametrize(
    "odd", ["NaN", "Infinity", "-Infinity", "1e999", "1" * 5000, *map(json.dumps, ODD)]
)
def test_any_number_of_a_log_line_may_be_damaged(run, odd):
    whole = '{"kind": "%s", "step": %s, "%s": %s, "time": 5}\n'
    names = ("loss", "miou", "iou", "absent", "collapsed", "images_per_second", "learning_rate")
    lines = [whole % (kind, 200, name, odd) for name in names for kind in ("train", "eval")]
    lines += [whole % ("train", odd, "loss", 1), whole % ("eval", 201, "time", odd)]
    with (run / "metrics.jsonl").open("a") as file:
        file.writelines(lines)
    written(run)
    writer = log.Writer(run, 100)
    assert {line["step"] for line in writer.lines} <= set(range(101))
    writer.close()


RESUMED = (
    "config.json",
    "environment.json",
    "metrics.jsonl",
    "experiment.py",
    "tensorboard",
    "init.json",
)


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", RESUMED)
def test_a_resumed_run_sets_aside_what_is_damaged(run, tmp_path, caplog, name, harm):
    """All that a resumed run reads and writes beside its checkpoints."""
    if name == "tensorboard":
        (run / name).write_text("not a folder")
    source = tmp_path / "given.py"
    source.write_text("# mine")
    if not (run / name).exists():
        (run / name).write_text("{}")
    harm(run / name)
    before = sorted(run.iterdir())
    if name == "tensorboard" and harm in (_dangling, _loop):
        with pytest.raises(ValueError, match="is a symbolic link"):
            log.Writer(run, 100)
        return
    environment.describe_run(experiment(), run, source, 100)
    writer = log.Writer(run, 100)
    writer.write("train", 101, {"loss": 1.0})
    writer.close()
    assert json.loads((run / "config.json").read_text())["data"]["name"] == "streets"
    assert json.loads((run / "environment.json").read_text())["step"] == 100
    assert run_folder.load(run).train[-1]["step"] == 101
    assert len(sorted(run.iterdir())) >= len(before)  # nothing is lost
    whole = {
        "config.json": (_empty, _truncated, _binary, _list, _text, _folder, _pipe, _deep, _loop)
    }
    if harm in whole.get(name, ()):
        assert (run / f"{name}.damaged").exists() or (run / f"{name}.damaged").is_symlink()
        assert f"{name} is damaged" in caplog.text


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("name", ["outcome.json", "eval/val.json", "eval/val.npz", "job.json"])
def test_a_damaged_job_is_one_that_is_not_done(run, name, harm):
    log.write_json(run / "job.json", {"tags": {"row": "val"}})
    costs = {"parameters": 1, "multiply_adds": {"row": 2}, "memory": 3}
    log.write_json(run / "outcome.json", {"tags": {"row": "val"}, **costs})
    assert job_folder.is_done(run)
    assert job_folder.outcome(run, {"row": "val"})
    assert job_folder.is_evaluated(run, "val", 100)
    assert not job_folder.is_evaluated(run, "val", 99)
    harm(run / name)
    if name == "job.json":
        assert not job_folder.is_done(run)
    else:
        assert job_folder.outcome(run, {"row": "val"}) is None


def test_links_in_a_run_folder_are_never_written_through(run, tmp_path):
    others = tmp_path / "others"
    others.mkdir()
    names = (
        "config.json",
        "environment.json",
        "metrics.jsonl",
        "experiment.py",
        "report.md",
        "report.html",
        "init.json",
    )
    for name in names:
        (others / name).write_text("{}")
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(others / name)
    source = tmp_path / "given.py"
    source.write_text("# mine")
    environment.describe_run(experiment(), run, source, 0)
    writer = log.Writer(run, 0)
    writer.write("train", 1, {"loss": 1.0})
    writer.close()
    report.write([run])
    assert {(others / name).read_text() for name in names} == {"{}"}


@pytest.mark.slow
def test_a_damaged_entry_of_the_compile_cache_is_compiled_again(tmp_path):
    """As the drill does it: JAX says so in a warning and compiles."""
    from experiments.robustness.field_reports import harmed_runs

    assert harmed_runs._cache(tmp_path).outcome == "right value"
