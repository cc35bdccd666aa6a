"""The plan of a table: overrides, which rows share a training, what distinguishes trainings."""

import dataclasses
import runpy

import pytest

from experiments.ablation import ablation, code_version, job_folder
from jaxseg import config
from jaxseg.data import source
from launch import job as launch_job
from tests.conftest import ROOT

PROGRAM = ROOT / "tests" / "helpers" / "programs" / "tiny_ablation.py"


@pytest.fixture
def tiny():
    return runpy.run_path(str(PROGRAM))["get_ablation"]()


def base():
    return runpy.run_path(str(PROGRAM))["_base"]()


def test_change_reaches_dataclasses_and_modules_and_leaves_the_rest():
    before = base()
    after = ablation.with_change(
        before, {"model.backbone.width": 4, "optim.power": 0.5, "loss": config.Loss(dice=2.0)}
    )
    assert (after.model.backbone.width, after.optim.power, after.loss.dice) == (4, 0.5, 2.0)
    assert (before.model.backbone.width, before.optim.power) == (2, 0.9)
    assert after.model.head_features == before.model.head_features


def test_later_changes_reach_into_earlier_ones():
    wider = base().model.clone(stride=16)
    after = ablation.with_change(base(), {"model": wider, "model.stride": 32})
    assert after.model.stride == 32


@pytest.mark.parametrize("path", ["model.backbone.widht", "optim.powr", "lose"])
def test_unknown_field_is_named_with_those_that_are_there(path):
    with pytest.raises(ValueError, match=f"{path}: .* has no field {path.rpartition('.')[2]}: "):
        ablation.with_change(base(), {path: 1})


def test_rows_that_differ_in_evaluation_share_a_training(tiny):
    jobs = ablation.plan(tiny, "shapes")
    assert len(jobs) == 4, "two trainings of two seeds"
    assert list(jobs[0].protocols) == ["stride 8", "stride 8, flip"]
    assert [protocol.flip for protocol in jobs[0].protocols.values()] == [False, True]
    assert [job.seed for job in jobs] == [0, 1, 0, 1], "what others start from comes first"


def test_a_row_starts_from_the_run_of_its_own_seed(tiny):
    jobs = {job.name: job for job in ablation.plan(tiny, "shapes")}
    for job in jobs.values():
        if job.start:
            assert jobs[job.start].seed == job.seed
            assert "stride 8" in jobs[job.start].protocols
    assert sum(bool(job.start) for job in jobs.values()) == 2


def test_start_from_a_row_that_is_left_out_is_refused(tiny):
    size = dataclasses.replace(tiny.shapes, leave_out=("stride 8", "stride 8, flip"))
    with pytest.raises(ValueError, match="stride 32 starts from stride 8, which is not trained"):
        ablation.plan(dataclasses.replace(tiny, shapes=size), "shapes")


def test_a_size_has_its_own_changes(tiny):
    size = dataclasses.replace(
        tiny.shapes,
        change={"train.steps": 7},
        rows={"stride 32": {"model.stride": 16}},
        leave_out=("stride 8, flip",),
        seeds=(5,),
    )
    found = ablation.plan(dataclasses.replace(tiny, shapes=size), "shapes")
    assert [job.experiment.model.stride for job in found] == [8, 16]
    assert {job.experiment.train.steps for job in found} == {7}
    assert [job.seed for job in found] == [5, 5]


@pytest.mark.parametrize("field", ["rows", "leave_out"])
def test_a_size_with_an_unknown_row_is_refused(tiny, field):
    size = dataclasses.replace(tiny.shapes, **{field: {"stride 9": {}}})
    with pytest.raises(ValueError, match="Tiny, shapes: no row stride 9"):
        ablation.plan(dataclasses.replace(tiny, shapes=size), "shapes")


@pytest.mark.parametrize(
    ("path", "value", "same"),
    [
        ("train.log_every", 3, True),
        ("eval.flip", True, True),
        ("data.threads", 3, True),
        ("data.data_dir", "elsewhere", True),
        ("train.seed", 3, False),
        ("train.steps", 5, False),
        ("model.stride", 16, False),
        ("loss.dice", 1.0, False),
    ],
)
def test_key_tells_apart_what_has_another_outcome(path, value, same):
    key = ablation.training_key(base())
    assert (ablation.training_key(ablation.with_change(base(), {path: value})) == key) is same


def test_key_follows_code_data_and_start(monkeypatch):
    keys = {ablation.training_key(base()), ablation.training_key(base(), start="another")}
    monkeypatch.setattr(code_version, "of_data", lambda data: "other")
    keys.add(ablation.training_key(base()))
    monkeypatch.setattr(code_version, "of", lambda experiment: "other")
    keys.add(ablation.training_key(base()))
    assert len(keys) == 4


def test_data_prepared_again_with_other_classes_is_other_data(tmp_path):
    """Though splits and sizes are the same."""
    folder = source.prepared_folder("folder/own", tmp_path)
    folder.mkdir(parents=True)
    data = config.Data(name="folder/own", data_dir=str(tmp_path))
    assert code_version.of_data(data) == ""
    (folder / "dataset_info.json").write_text("splits and sizes")
    found = set()
    for labels in ("ground, red", "red, ground"):
        (folder / "metadata.json").write_text(labels)
        found.add(code_version.of_data(data))
    (folder / "fingerprint.json").write_text("other examples of the same sizes")
    assert len(found | {code_version.of_data(data)}) == 3


def test_a_job_whose_data_was_prepared_again_is_refused(tmp_path, monkeypatch):
    experiment = base()
    job_folder.write_job(tmp_path / "a", experiment, {"row": experiment.eval}, "", "then")
    monkeypatch.setattr(code_version, "of_data", lambda data: "now")
    with pytest.raises(ValueError, match="was prepared again since a was planned: give the comm"):
        launch_job.run(tmp_path / "a")


def test_code_of_an_experiment_is_what_it_imports():
    found = code_version.modules(("jaxseg.models.fcn",))
    assert {"jaxseg.models.fcn", "jaxseg.layers.bilinear", "jaxseg"} <= set(found)
    assert not {"jaxseg.models.unet", "jaxseg.report"} & set(found)


CACHED = tuple(
    getattr(code_version, f"_{name}") for name in ("code", "parsed", "imports", "digest")
)


def test_code_version_is_of_the_code_and_not_of_its_comments(tmp_path, monkeypatch):
    def version(text):
        package = tmp_path / "jaxseg"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").write_text("")
        (package / "train.py").write_text(text)
        monkeypatch.setattr(code_version, "_ROOT", tmp_path)
        for cached in CACHED:
            cached.cache_clear()
        return code_version._digest(("jaxseg.train",))

    try:
        plain = version("def f(x):\n    return x + 1\n")
        told = version('"""Adds."""\n\n\ndef f(x):\n    """One more."""\n    return x+1  # one\n')
        other = version("def f(x):\n    return x + 2\n")
    finally:
        for cached in CACHED:
            cached.cache_clear()
    assert plain == told
    assert plain != other


def test_unknown_name_and_size(tiny, tmp_path):
    with pytest.raises(ValueError, match="--ablation=deeplab_v3_tabel1 is unknown; did you mean"):
        ablation.named("deeplab_v3_tabel1")
    with pytest.raises(ValueError, match=r"nowhere\.py: no such file"):
        ablation.named("nowhere.py")
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(ValueError, match=r"empty\.py: the file has no get_ablation\(\)"):
        ablation.named(str(tmp_path / "empty.py"))
    with pytest.raises(ValueError, match="--size=big is unknown; it can be paper, camvid, shapes"):
        ablation.plan(tiny, "big")


def test_stages_start_from_each_other(tiny):
    more = ablation.Row("stride 16", {"model.stride": 16}, start="stride 32")
    table = dataclasses.replace(tiny, rows=(*tiny.rows, more))
    jobs = ablation.plan(table, "shapes", seeds=(0,))
    assert [job.wave for job in jobs] == [0, 1, 2]
    assert jobs[2].start == jobs[1].name
    above = dataclasses.replace(tiny, rows=(more, *tiny.rows))
    with pytest.raises(ValueError, match=r"stride 16 starts from stride 32, which .* above it"):
        ablation.plan(above, "shapes")


def test_a_whole_part_is_told_by_the_fields_that_it_sets():
    assert ablation.text_of(8) == "8"
    assert ablation.text_of(config.Loss(dice=1.0, hardest=0.5)) == "Loss(dice=1.0, hardest=0.5)"
