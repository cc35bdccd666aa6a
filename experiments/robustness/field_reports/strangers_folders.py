"""Untrusted run folders, jobs and prepared data sets that try to execute code."""

import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from experiments import quickstart
from experiments.ablation import job_folder
from experiments.robustness.field_reports import situation
from experiments.robustness.field_reports.situation import Seen, Situation
from jaxseg import config
from jaxseg.cli import stored_config
from jaxseg.data import source
from jaxseg.workdir import eval_folder

_MODULE = "planted_by_a_stranger"
_IMAGE = {
    "image": {"dtype": "uint8", "shape": {"dimensions": ["-1", "-1", "3"]}},
    "pythonClassName": "tensorflow_datasets.core.features.image_feature.Image",
}
_FEATURES = {
    "featuresDict": {"features": {"image": _IMAGE}},
    "pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict",
}


def _values() -> dict[str, Any]:
    """The quick start's experiment in the format of config.json."""
    return json.loads(json.dumps(config.to_dict(quickstart.get_config())))


def _without_running(folder: pathlib.Path, of: Callable[[], object], *words: str) -> Seen:
    """The refusal of a call, which must not import the untrusted module on Python's path."""
    ran = folder / "ran"
    (folder / f"{_MODULE}.py").write_text(f"open({str(ran)!r}, 'w').close()\n")
    sys.path.insert(0, str(folder))
    try:
        seen = situation.refusal(of, *words)
    finally:
        sys.path.remove(str(folder))
        sys.modules.pop(_MODULE, None)
        situation.check(not ran.exists(), "the stranger's module was executed")
    return seen


def _config(folder: pathlib.Path, change: Callable[[dict[str, Any]], object]) -> pathlib.Path:
    values = _values()
    change(values)
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def _job(folder: pathlib.Path, **change: object) -> pathlib.Path:
    job = {"experiment": _values(), "protocols": {}, "tags": {}, "start": ""} | change
    (folder / "job.json").write_text(json.dumps(job))
    return folder


def _config_of_a_module(folder: pathlib.Path) -> Seen:
    _config(folder, lambda values: values["model"].update({"class": f"{_MODULE}:Net"}))
    return _without_running(
        folder, lambda: stored_config.get_config(str(folder)), "config.json", _MODULE, "--config="
    )


def _config_of_a_function(folder: pathlib.Path) -> Seen:
    _config(folder, lambda values: values["data"].update({"class": "subprocess:Popen"}))
    return situation.refusal(lambda: stored_config.get_config(str(folder)), "subprocess.Popen")


def _config_without_end(folder: pathlib.Path) -> Seen:
    text = json.dumps(_values()).replace("127.5", "[" * 100_000 + "]" * 100_000, 1)
    (folder / "config.json").write_text(text)
    return situation.refusal(lambda: stored_config.get_config(str(folder)), "config.json")


def _machine_code(folder: pathlib.Path) -> Seen:
    _config(folder, lambda values: values["train"].update(compile_cache=str(folder / "cache")))
    used = stored_config.get_config(str(folder)).train.compile_cache
    return situation.right(used == config.Train.compile_cache, f"programs are cached in {used}")


def _job_of_a_module(folder: pathlib.Path) -> Seen:
    values = _values()
    values["model"]["class"] = f"{_MODULE}:Net"
    _job(folder, experiment=values)
    return _without_running(folder, lambda: job_folder.read(folder), "job.json", _MODULE)


def _job_that_starts_elsewhere(folder: pathlib.Path) -> Seen:
    _job(folder, start="../../elsewhere")
    return situation.refusal(lambda: job_folder.read(folder), "job.json", "../../elsewhere")


def _split_of_another_folder(folder: pathlib.Path) -> Seen:
    return situation.refusal(
        lambda: eval_folder.tag("../../val", config.Eval()), "../../val", "data.eval_split"
    )


def _features_of_a_module(change: dict[str, Any]) -> Callable[[pathlib.Path], Seen]:
    def run(folder: pathlib.Path) -> Seen:
        (folder / "dataset_info.json").write_text('{"name": "mine", "version": "1.0.0"}')
        (folder / "features.json").write_text(json.dumps(_FEATURES | change))
        return _without_running(folder, lambda: source.splits(folder), "features.json", _MODULE)

    return run


def _situation(name: str, before: str, test: str, run: Callable[[pathlib.Path], Seen]) -> Situation:
    return Situation("J", name, before, f"tests/test_safety.py::{test}", run)


_NAMED = "test_a_config_names_only_classes_of_configs"
_SET = "test_a_prepared_set_names_no_class_of_its_own"
SITUATIONS = (
    _situation(
        "config.json names an untrusted module",
        "the module was executed",
        _NAMED,
        _config_of_a_module,
    ),
    _situation("config.json names subprocess:Popen", "right", _NAMED, _config_of_a_function),
    _situation(
        "config.json is nested 100,000 deep",
        "RecursionError",
        "test_a_config_without_end_is_refused",
        _config_without_end,
    ),
    _situation(
        "config.json names a cache of compiled programs in the run folder",
        "that cache was used",
        "test_a_cache_of_machine_code_in_a_run_folder_is_not_used",
        _machine_code,
    ),
    _situation(
        "job.json names an untrusted module",
        "the module was executed",
        _NAMED,
        _job_of_a_module,
    ),
    _situation(
        "job.json starts from ../../elsewhere",
        "would have started there",
        "test_a_job_is_data_too",
        _job_that_starts_elsewhere,
    ),
    _situation(
        "data.eval_split leads out of the run folder",
        "../../val was the name of the file",
        "test_the_name_of_an_evaluation_stays_in_its_folder",
        _split_of_another_folder,
    ),
    _situation(
        "features.json of a prepared data set names an untrusted module",
        "the module was executed",
        _SET,
        _features_of_a_module({"pythonClassName": f"{_MODULE}.Feature"}),
    ),
    _situation(
        "features.json of a prepared data set names one in the form of old versions",
        "the module was executed",
        _SET,
        _features_of_a_module({"type": f"{_MODULE}.Feature", "content": {}}),
    ),
)
