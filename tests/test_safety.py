"""Nothing that a run folder, job, data set or report from elsewhere holds is executed.

Each test plants a module which would leave a file behind if it were imported.
"""

import dataclasses
import json
import sys
import types

import flax.linen as nn
import numpy as np
import pytest
import tensorflow_datasets as tfds

from experiments import quickstart
from experiments.ablation import job_folder
from jaxseg import config
from jaxseg.cli import stored_config
from jaxseg.data import features_file, source
from jaxseg.reporting import page as report_page
from jaxseg.reporting import run_folder
from jaxseg.workdir import eval_folder, per_image


@pytest.fixture
def marker(tmp_path, monkeypatch):
    """The file that is written when the module planted_by_a_stranger is imported."""
    place = tmp_path / "ran"
    code = f"open({str(place)!r}, 'w').close()\n"
    (tmp_path / "planted_by_a_stranger.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    yield place
    assert not place.exists()
    assert "planted_by_a_stranger" not in sys.modules


@pytest.fixture
def values():
    """An experiment as config.json holds it."""
    return json.loads(json.dumps(config.to_dict(quickstart.get_config())))


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("planted_by_a_stranger:Net", "imports no other code: give --config=FILE"),
        ("jaxseg.models.planted_by_a_stranger:Net", "this code has no jaxseg.models.planted"),
        ("jaxseg.models..planted_by_a_stranger:Net", "imports no other code"),
        ("jaxseg.models/../../planted_by_a_stranger:Net", "does not name its class"),
        ("jaxseg.config:Data\n", "does not name its class"),
        ("jaxseg.no_room:Net", "imports no other code"),
        ("subprocess:Popen", "subprocess.Popen is not a part of a config"),
        ("os:system", "os.system is not a part of a config"),
        ("jaxseg.config:dataclasses", "is not a part of a config"),
        ("jaxseg.config:nn", "is not a part of a config"),
        ("jaxseg.config:Data.__init__", r"this code has no jaxseg.config.Data.__init__"),
        ("jaxseg.data.labels:LabelSpec", "imports no other code|not a part of a config"),
        ("optax:GradientTransformation", "imports no other code|not a part of a config"),
        ("", "does not name its class"),
        (["jaxseg.config:Data"], "does not name its class"),
    ],
)
@pytest.mark.parametrize("part", ["", "model", "data"])
def test_a_config_names_only_classes_of_configs(marker, tmp_path, values, part, named, says):
    (values[part] if part else values)["class"] = named
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=says) as error:
        stored_config.get_config(str(tmp_path))
    assert str(error.value).startswith(f"{tmp_path}/config.json: ")
    (tmp_path / "job.json").write_text(
        json.dumps({"experiment": values, "protocols": {}, "tags": {}, "start": ""})
    )
    with pytest.raises(ValueError, match=says):
        job_folder.read(tmp_path)


def test_dataclasses_of_python_and_of_packages_are_not_parts_of_a_config(values):
    """Those that happen to be loaded: making one may do anything."""
    loaded = [
        cls
        for module in list(sys.modules.values())
        for cls in list(vars(module).values())
        if isinstance(cls, type) and dataclasses.is_dataclass(cls) and cls.__module__ != "builtins"
        if not cls.__module__.startswith(("jaxseg", "experiments", "tests", "launch"))
        if not issubclass(cls, nn.Module)
    ]
    assert len(loaded) > 50
    for cls in loaded:
        with pytest.raises(ValueError, match=r"not a part of a config|has no|imports no"):
            config.from_dict({"class": f"{cls.__module__}:{cls.__name__}"})


def test_what_an_experiment_has_loaded_may_be_named(monkeypatch, tmp_path):
    module = types.ModuleType("an_experiment_of_mine")
    module.__file__ = str(tmp_path / "an_experiment_of_mine.py")
    code = (
        "import dataclasses\nimport flax.linen as nn\n"
        "@dataclasses.dataclass\nclass Rates:\n  values: tuple = (1, 2)\n"
        "class Net(nn.Module):\n  rates: Rates = Rates()\n"
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(code.replace("Rates()", "dataclasses.field(default_factory=Rates)"), vars(module))
    made = config.to_dict(module.Net(module.Rates((3,))))
    assert config.from_dict(json.loads(json.dumps(made))).rates.values == (3,)
    experiment = dataclasses.replace(quickstart.get_config(), model=module.Net())
    with pytest.raises(ValueError, match="an_experiment_of_mine:Net is to stand in jaxseg/models"):
        job_folder.write_job(tmp_path / "job", experiment, {}, "")
    monkeypatch.delitem(sys.modules, module.__name__)
    with pytest.raises(ValueError, match=r"'an_experiment_of_mine:Net' .* give --config=FILE"):
        config.from_dict(made)


def test_a_config_without_end_is_refused(tmp_path, values):
    for deep in (40, 400, 100_000):
        text = json.dumps(values).replace("127.5", "[" * deep + "127.5" + "]" * deep, 1)
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(ValueError, match=r"config\.json"):
            stored_config.get_config(str(tmp_path))


@pytest.mark.parametrize(("there", "used"), [("runs/it/cache", "default"), ("", "")])
def test_a_cache_of_machine_code_in_a_run_folder_is_not_used(tmp_path, values, there, used):
    values["train"]["compile_cache"] = there
    (tmp_path / "config.json").write_text(json.dumps(values))
    expected = config.Train.compile_cache if used == "default" else used
    assert stored_config.get_config(str(tmp_path)).train.compile_cache == expected
    job = {"experiment": values, "protocols": {}, "tags": {}, "start": ""}
    (tmp_path / "job.json").write_text(json.dumps(job))
    assert job_folder.read(tmp_path).experiment.train.compile_cache == expected


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"start": "../../elsewhere"}, "start='../../elsewhere' is not the name of a folder"),
        ({"start": ".."}, "start='..' is not"),
        ({"start": 3}, "start=3 is not"),
        ({"protocols": {"row": 3}}, "a protocol is not"),
        ({"protocols": []}, "job.json"),
        ({"experiment": 3}, "holds no experiment"),
        ({"experiment": {"class": "jaxseg.config:Data"}}, "holds no experiment"),
    ],
)
def test_a_job_is_data_too(tmp_path, values, change, says):
    job = {"experiment": values, "protocols": {}, "tags": {}, "start": ""} | change
    (tmp_path / "job.json").write_text(json.dumps(job))
    with pytest.raises(ValueError, match=says):
        job_folder.read(tmp_path)


def test_the_name_of_an_evaluation_stays_in_its_folder():
    assert eval_folder.tag("val", config.Eval()) == "val"
    with pytest.raises(ValueError, match=r"set data\.eval_split"):
        eval_folder.tag("../../val", config.Eval())


def _features(folder):
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.Image(shape=(None, None, 1), dtype=np.uint8),
            "name": tfds.features.Text(),
        }
    ).save_config(str(folder))


_EVIL = "planted_by_a_stranger.Feature"


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("features.json", {"pythonClassName": _EVIL}),
        ("features.json", {"python_class_name": _EVIL}),
        ("features.json", {"type": _EVIL, "content": {}}),
        ("features.json", {"jsonFeature": {"json": json.dumps({"type": _EVIL, "content": {}})}}),
        ("dataset_info.json", {"features": {"pythonClassName": _EVIL}}),
    ],
)
def test_a_prepared_set_names_no_class_of_its_own(marker, tmp_path, file, change):
    _features(tmp_path)
    (tmp_path / "dataset_info.json").write_text('{"name": "mine", "version": "1.0.0"}')
    features_file.check(tmp_path)
    path = tmp_path / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=f"{file} names .*nothing of it was imported"):
        source.splits(tmp_path)


def test_a_report_executes_nothing_of_a_run_folder(marker, tmp_path, values):
    """Neither its experiment.py, nor what its config and records hold in a template's form."""
    folder = tmp_path / "run"
    (folder / "eval").mkdir(parents=True)
    values["model"]["class"] = "planted_by_a_stranger:Net"
    values["data"]["name"] = "{{ 6 * 7 }}{% import 'planted' as p %}"
    (folder / "config.json").write_text(json.dumps(values))
    (folder / "experiment.py").write_text(
        '"""Expected: {{ 6 * 7 }}"""\nimport planted_by_a_stranger'
    )
    (folder / "report.html").write_text("{{ 6 * 7 }}")
    page = report_page.html([run_folder.load(folder)])
    assert "{{ 6 * 7 }}" in page
    assert "42{%" not in page


def test_a_pickle_in_an_npz_is_not_opened(tmp_path):
    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    path = tmp_path / "val.npz"
    np.savez(path, names=np.asarray([Evil()], object), num_classes=2, image=[0])
    with pytest.raises(ValueError, match=r"val\.npz"):
        per_image.read(path)
    assert not (tmp_path / "ran").exists()
