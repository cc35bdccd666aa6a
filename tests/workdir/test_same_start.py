"""Processes started with other flags, code or data are named before anything is done."""

import dataclasses
import shutil
import threading

import pytest
from absl import flags
from absl.testing import flagsaver

from jaxseg.data.prepare import prepare
from jaxseg.runtime import agreement
from jaxseg.workdir import same_start
from tests.helpers.programs import tiny
from tests.runtime.test_processes import free_port
from tests.training.test_train import start_program


class Store:
    """The key-value store of a run, in this process."""

    def __init__(self):
        self.values, self.changed = {}, threading.Condition()

    def key_value_set(self, key, value):
        with self.changed:
            assert key not in self.values
            self.values[key] = value
            self.changed.notify_all()

    def blocking_key_value_get(self, key, timeout_in_ms):
        with self.changed:
            if not self.changed.wait_for(lambda: key in self.values, timeout_in_ms / 1000):
                raise RuntimeError("DEADLINE_EXCEEDED")
            return self.values[key]

    def key_value_increment(self, key, increment):
        with self.changed:
            self.values[key] = self.values.get(key, 0) + increment
            return self.values[key]


def started(*told, store=None, timeout=20.0):
    """What each process that says this raises; None: nothing."""
    store = store or Store()
    read = threading.Barrier(len(told))
    raised = [None] * len(told)

    def run(index):
        try:
            agreement.refuse_odd(
                told[index],
                index,
                len(told),
                store,
                timeout=timeout,
                all_have_read=lambda name: read.wait(timeout),
            )
        except (ValueError, TimeoutError) as error:
            raised[index] = str(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(told))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_alike_is_let_through_as_often_as_they_are_asked():
    store = Store()
    for _ in range(3):
        assert started({"a": "1"}, {"a": "1"}, store=store) == [None, None]
    assert started({"a": "1", "digest": ""}, {"a": "1", "digest": "x"}) == [None, None]  # unknown


def test_the_odd_one_is_named_by_all():
    usual = {"optim.learning_rate": "0.002", "data.augment.flip": "True"}
    odd = usual | {"optim.learning_rate": "0.5"}
    expected = (
        "the 3 processes were not started alike: in process 1, optim.learning_rate is 0.5, "
        "elsewhere 0.002. Start all of them with the same command, code and data"
    )
    assert started(usual, odd, usual) == [expected] * 3
    two = started(odd, usual)
    assert two[0] == two[1]
    assert "in process 1, optim.learning_rate is 0.002, elsewhere 0.5" in two[0]
    many = started(usual, {f"code {i}": "x" for i in range(9)})[0]
    assert many.count("elsewhere") == 3
    assert "and 8 more" in many


def test_a_process_that_never_comes_is_named():
    raised = [None]

    def alone():
        try:
            agreement.refuse_odd({}, 0, 2, Store(), timeout=0.05, all_have_read=lambda name: None)
        except TimeoutError as error:
            raised[0] = str(error)

    alone()
    assert "process 1 of 2 has not reported its settings within 0.05 s" in raised[0]


def test_settings_code_and_data_are_told(tmp_path):
    """What is a machine's own is not."""
    one = tiny.experiment()
    told = same_start.settings(one)
    assert told["optim.learning_rate"] == "0.05"
    assert told["model.num_classes"] == "3"
    assert not {"data.data_dir", "data.threads", "train.compile_cache"} & told.keys()
    code = same_start.code(one)
    assert code["the code of jaxseg/workdir/same_start.py"]
    assert code["the code of tests.helpers.programs.tiny"]  # of the model
    drawn = {}
    for seed in (0, 1):
        flags.FLAGS.mark_as_parsed()
        with flagsaver.flagsaver():
            flags.FLAGS(
                [
                    "x",
                    "--shapes_size=32",
                    "--shapes_train=2",
                    "--shapes_val=1",
                    f"--data_seed={seed}",
                ]
            )
            prepare.prepare("shapes/tiny", tmp_path / str(seed))
        data = dataclasses.replace(one.data, name="shapes/tiny", data_dir=str(tmp_path / str(seed)))
        drawn[seed] = same_start._of_data(data, None)
    name = "the digest of the examples of shapes/tiny train"
    assert drawn[0][name] != drawn[1][name]
    assert name in agreement.odd_processes([drawn[0], drawn[1]])
    shutil.rmtree(tmp_path / "1")
    data = dataclasses.replace(one.data, name="shapes/tiny", data_dir=str(tmp_path / "1"))
    assert "is not prepared" in agreement.odd_processes([drawn[0], same_start._of_data(data, None)])


def pair(folder, *own):
    """How two processes of one run end, each with settings of its own."""
    port = free_port()
    processes = [
        start_program(
            "fit.py",
            {
                "train": {"steps": 2},
                "workdir": str(folder / "run"),
                "out": str(folder / "out.npz"),
                "coordinator": f"127.0.0.1:{port}",
                "processes": 2,
                "process": i,
            }
            | settings,
        )
        for i, settings in enumerate(own)
    ]
    ended = [process.communicate(timeout=120) for process in processes]
    return [process.returncode for process in processes], [err for _, err in ended]


@pytest.mark.slow
def test_two_processes_with_other_flags_or_data_do_not_train(tmp_path):
    statuses, errors = pair(tmp_path, {"learning_rate": 0.002}, {"learning_rate": 0.5})
    assert statuses == [1, 1]
    for err in errors:
        assert "in process 1, optim.learning_rate is 0.5, elsewhere 0.002" in err
    for seed in (0, 1):
        flags.FLAGS.mark_as_parsed()
        with flagsaver.flagsaver():
            flags.FLAGS(
                [
                    "x",
                    "--shapes_size=32",
                    "--shapes_train=4",
                    "--shapes_val=2",
                    f"--data_seed={seed}",
                ]
            )
            prepare.prepare("shapes/tiny", tmp_path / str(seed))
    statuses, errors = pair(
        tmp_path,
        *({"data_dir": str(tmp_path / str(seed)), "model": {"num_classes": 7}} for seed in (0, 1)),
    )
    assert statuses == [1, 1]
    for err in errors:
        assert "in process 1, the bytes of shapes/tiny train is" in err
    assert not (tmp_path / "run" / "checkpoints").exists()
