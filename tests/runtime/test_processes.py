"""Several devices and several processes compute what one does; and how a run is asked to stop."""

import json
import os
import signal
import socket
import time
import types

import jax
import numpy as np
import pytest

from jaxseg.runtime import processes
from jaxseg.runtime.mesh import by_process, check_split, make_mesh, put_batch, with_shardings
from jaxseg.runtime.stop import StopRequest
from tests.helpers.detectors import prepared
from tests.training.test_train import ENVIRONMENT, finish, lines_of, start_program


@pytest.mark.slow
@pytest.mark.parametrize("deeplab", [False, True])
def test_four_devices_take_the_same_step_as_one(deeplab):
    """Batch norm, dropout, loss and accumulation are those of the whole batch, in float64."""
    out, _ = finish(start_program("devices.py", {"deeplab": deeplab}))
    cases = json.loads(out)
    assert cases["confusion"] == {"difference": 0, "collectives": ["all-reduce"]}
    # DeepLab hands over its logits in float32, and so rounds there.
    rounding = {"deeplab (4, 1)": 1e-5}
    for name in cases.keys() - {"confusion"}:
        assert cases[name]["difference"] < rounding.get(name, 1e-12), name
    # Over "data", only sums cross devices: no image, label or feature map is ever gathered.
    for name in cases.keys() - {"confusion", "tiny (2, 2)"}:
        assert cases[name]["collectives"] == ["all-reduce"], name


def sharding(tmp_path, **settings):
    settings = {"folder": str(tmp_path), "size": [64, 128], "rows": []} | settings
    process = start_program("sharding.py", settings)
    out, err = process.communicate(timeout=1500)
    assert process.returncode == 0, err
    return json.loads(out)


def test_rows_and_states_over_devices_give_the_step_of_one(tmp_path):
    """DeepLab's parts on whole images by rows; a train state in eight parts; in float64.

    Each device holds a part: of the maps, and of parameters, averages and optimiser state. A
    checkpoint of the one placement is read into the other.
    """
    cases = sharding(tmp_path, rows=[4], spread=[[8, 1]])
    assert cases["rows 4"]["difference"] < 1e-10
    assert cases["rows 4"]["temporary"] < 0.6 * cases["rows 1"]["temporary"]
    assert cases["spread (8, 1)"]["difference"] < 1e-12
    # 16 of the 32 kB of a device's arguments are its images, which are 8 of all at "whole".
    assert cases["spread (8, 1)"]["arguments"] < 0.5 * cases["whole"]["arguments"]
    assert cases["whole to spread"] == cases["spread to whole"] == 0


@pytest.mark.slow
def test_rows_over_any_number_of_devices_and_mixed_meshes(tmp_path):
    cases = sharding(tmp_path, rows=[2, 8], spread=[[4, 2], [2, 1]])
    assert all(cases[f"rows {n}"]["difference"] < 1e-10 for n in (2, 8))
    assert all(cases[f"spread {shape}"]["difference"] < 1e-12 for shape in ("(4, 2)", "(2, 1)"))
    fast = sharding(tmp_path, rows=[2], form="auto")
    assert fast["rows 2"]["difference"] < 1e-10


@pytest.mark.slow
def test_an_image_of_1024_x_2048_by_its_rows(tmp_path):
    cases = sharding(tmp_path, size=[1024, 2048], rows=[2, 4, 8], images=1, quick=False)
    for n in (2, 4, 8):
        assert cases[f"rows {n}"]["difference"] < 1e-10
        assert cases[f"rows {n}"]["temporary"] < (1 / n + 0.25) * cases["rows 1"]["temporary"]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_two_processes_train_and_evaluate_to_the_numbers_of_one(tmp_path):
    """A whole run on loopback, with checkpoints, against a run of one process, in float64.

    Dropout, the weight map of the boundaries, micro-batches and the average of the parameters too.
    """

    def settings(name):
        return {
            "train": {
                "steps": 6,
                "eval_every": 3,
                "checkpoint_every": 3,
                "log_every": 1,
                "ema_decay": 0.9,
                "accumulate": 2,
            },
            "loss": {"boundary": 5.0},
            "model": {"numbers": "float64", "dropout": 0.3},
            "workdir": str(tmp_path / name),
            "out": str(tmp_path / f"{name}.npz"),
        }

    wide = {"JAX_ENABLE_X64": "1"}
    together = {"coordinator": f"127.0.0.1:{free_port()}", "processes": 2}
    pair = [
        start_program("fit.py", settings("two") | together | {"process": i}, **wide) for i in (0, 1)
    ]
    for process in pair:
        finish(process)
    finish(start_program("fit.py", settings("one"), **wide))
    one, two = (dict(np.load(tmp_path / f"{name}.npz")) for name in ("one", "two"))
    assert one.keys() == two.keys()
    for path, expected in one.items():
        rounding = 1e-6 if expected.dtype == np.float32 else 1e-10  # statistics are float32
        np.testing.assert_allclose(two[path], expected, rtol=rounding, atol=1e-14, err_msg=path)
    for kind, names in (("train", ["loss"]), ("eval", ["miou", "pixel_accuracy", "fwiou"])):
        lines = [lines_of(tmp_path / name, kind) for name in ("one", "two")]
        assert [line["step"] for line in lines[0]] == [line["step"] for line in lines[1]]
        for a, b in zip(*lines, strict=True):
            assert [a[name] for name in names] == pytest.approx([b[name] for name in names], 1e-12)


@pytest.mark.slow
def test_two_processes_train_and_judge_a_detector_to_the_numbers_of_one(tmp_path):
    """Boxes, masks, pixels, the draws of anchors and RoIs, in float64; COCO's numbers and PQ."""
    prepared(tmp_path / "data")

    def settings(name):
        return {
            "objects": str(tmp_path / "data"),
            "train": {"steps": 4, "eval_every": 2, "checkpoint_every": 4},
            "workdir": str(tmp_path / name),
            "out": str(tmp_path / f"{name}.npz"),
        }

    wide = {"JAX_ENABLE_X64": "1"}
    together = {"coordinator": f"127.0.0.1:{free_port()}", "processes": 2}
    pair = [
        start_program("fit.py", settings("two") | together | {"process": i}, **wide) for i in (0, 1)
    ]
    for process in pair:
        finish(process)
    devices = {"XLA_FLAGS": f"{ENVIRONMENT['XLA_FLAGS']} --xla_force_host_platform_device_count=2"}
    for name, environment in (("one", {}), ("devices", devices)):
        finish(start_program("fit.py", settings(name), **wide, **environment))
    one, *others = (dict(np.load(tmp_path / f"{name}.npz")) for name in ("one", "two", "devices"))
    for other in others:
        assert one.keys() == other.keys()
        for path, expected in one.items():
            rounding = 1e-6 if expected.dtype == np.float32 else 1e-9
            np.testing.assert_allclose(other[path], expected, rtol=rounding, atol=1e-12)
    judged = [lines_of(tmp_path / name, "eval") for name in ("one", "two", "devices")]
    numbers = [
        [
            {name: line[name] for name in line if name.split()[0] in ("box", "mask", "PQ", "SQ")}
            for line in lines
        ]
        for lines in judged
    ]
    assert len(numbers[0]) == 2
    assert {"mask AP", "PQ", "PQ things", "SQ stuff"} <= numbers[0][0].keys()
    for other in numbers[1:]:
        for a, b in zip(other, numbers[0], strict=True):
            assert a == pytest.approx(b, abs=1e-9)


def run_settings(folder, steps=12):
    return {
        "train": {
            "steps": steps,
            "eval_every": 2,
            "checkpoint_every": 2,
            "log_every": 1,
            "ema_decay": 0.9,
        },
        "model": {"numbers": "float64", "dropout": 0.3, "features": 64},
        "workdir": str(folder),
        "out": f"{folder}.npz",
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    finish(start_program("fit.py", run_settings(folder), JAX_ENABLE_X64="1"))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_other_and_one_process_goes_on(tmp_path, undisturbed, victim):
    """Two processes with a state spread over both; one is killed; one process ends the run.

    The end is that of a run of one process, in float64: the batches are the same, and losses and
    state differ by the order of sums.
    """
    settings = run_settings(tmp_path / "run")
    spread = settings | {"train": settings["train"] | {"shard_params": True}, "pause": 0.1}
    together = {"coordinator": f"127.0.0.1:{free_port()}", "processes": 2}
    pair = [
        start_program("fit.py", spread | together | {"process": i}, JAX_ENABLE_X64="1")
        for i in (0, 1)
    ]

    def saved():
        return [int(p.name) for p in (tmp_path / "run").glob("checkpoints/*") if p.name.isdigit()]

    def starting():
        return len(lines_of(tmp_path / "run", "train")) < 4 or not saved()

    while starting() and all(p.poll() is None for p in pair):
        time.sleep(0.05)
    pair[victim].kill()
    _, err = pair[1 - victim].communicate(timeout=60)  # JAX's own limit is 100 s
    pair[victim].communicate()
    assert pair[1 - victim].returncode == 1, err
    line = next(line for line in err.splitlines() if line.startswith("jaxseg: "))
    assert line.startswith(f"jaxseg: process {victim} of 2 has died")
    assert f"the last good checkpoint is {tmp_path}/run/checkpoints/{max(saved())}." in line

    finish(start_program("fit.py", settings, JAX_ENABLE_X64="1"))
    one, both = (dict(np.load(f"{folder}.npz")) for folder in (undisturbed, tmp_path / "run"))
    for path, expected in one.items():
        rounding = 1e-6 if expected.dtype == np.float32 else 1e-9
        np.testing.assert_allclose(both[path], expected, rtol=rounding, atol=1e-12, err_msg=path)
    for kind, name in (("train", "loss"), ("eval", "miou")):
        expected, found = (
            {line["step"]: line[name] for line in lines_of(folder, kind)}
            for folder in (undisturbed, tmp_path / "run")
        )
        assert found == pytest.approx(expected, rel=1e-9)


def test_a_signal_is_noted_and_the_second_acts_as_before():
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest() as stopping:
        assert not stopping.now(1)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.now(2)
        assert signal.getsignal(signal.SIGTERM) is before
        with pytest.raises(KeyboardInterrupt), stopping.interrupting():
            pytest.fail("was told before")
    with (
        StopRequest() as stopping,
        pytest.raises(KeyboardInterrupt),
        stopping.interrupting(),
    ):
        signal.raise_signal(signal.SIGTERM)
    with StopRequest() as stopping:
        with stopping.interrupting():
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.now(1)
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_cannot_be_split_is_named_with_the_way_out():
    with pytest.raises(ValueError, match="rows=3 must divide"):
        make_mesh(3)
    mesh = jax.sharding.AbstractMesh((4, 2), ("data", "rows"))
    check_split(mesh, 8, 514)
    with pytest.raises(ValueError, match=r"batch of 6 .* multiple of 4"):
        check_split(mesh, 6, 514)
    with pytest.raises(ValueError, match=r"batch of 12 .* x 2 micro-batches: .* multiple of 8"):
        check_split(mesh, 12, 514, accumulate=2)
    with pytest.raises(ValueError, match=r"513 rows .* height of 514 can"):
        check_split(mesh, 8, 513)


@pytest.mark.parametrize(
    ("environment", "together"),
    [
        ({}, False),
        ({"SLURM_NTASKS": "2", "SLURM_PROCID": "0"}, False),  # a batch script, without srun
        ({"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, False),
        ({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
    ],
)
def test_a_launcher_of_several_processes_is_recognised(environment, together):
    assert processes._launched_together(environment) is together


def test_flags_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="needs --coordinator"):
        processes.initialize(None, 2, 0)
    with pytest.raises(ValueError, match="--process=2 must be at least 0"):
        processes.initialize("localhost:1", 2, 2)
    processes.initialize()
    assert not jax.distributed.is_initialized()


def test_waiting_for_other_processes_is_said_after_a_while(monkeypatch, capfd):
    monkeypatch.setattr(processes, "_PATIENCE", 0.01)
    err = ""
    with processes.waiting("all 2 processes to meet at host:1"):
        while not err:
            err = capfd.readouterr().err
    assert err.startswith("jaxseg: waiting for all 2 processes to meet at host:1;")


def test_arrays_of_a_state_are_spread_by_their_longest_side():
    mesh = jax.sharding.AbstractMesh((4, 2), ("data", "rows"))
    shapes = {
        "kernel": (3, 3, 64, 128),
        "square": (64, 64),
        "odd": (3, 3, 66, 130),
        "bias": (128,),
        "step": (),
    }
    state = {name: jax.ShapeDtypeStruct(s, np.float32) for name, s in shapes.items()}
    spread = with_shardings(state, mesh, shard=True)
    spec = {name: tuple(leaf.sharding.spec) for name, leaf in spread.items()}
    assert spec["kernel"] == (None, None, None, "data")
    assert spec["square"] == (None, "data")
    assert not any(spec["odd"] + spec["bias"] + spec["step"])
    whole = with_shardings(state, mesh, shard=False)
    assert not any(any(leaf.sharding.spec) for leaf in whole.values())


def test_devices_of_a_process_lie_side_by_side_in_the_order_of_processes():
    """Whatever order JAX finds for a pod; else the shares of a batch would be joined in another."""
    ring = [types.SimpleNamespace(id=i, process_index=p) for i, p in enumerate([0, 2, 2, 1, 1, 0])]
    devices = np.empty(6, object)
    devices[:] = ring
    for shape in ((6, 1), (3, 2)):
        ordered = by_process(devices.reshape(shape))
        assert ordered.shape == shape
        assert [device.id for device in ordered.flat] == [0, 5, 3, 4, 1, 2]


def test_a_batch_is_placed_by_images_and_rows():
    mesh = make_mesh()
    batch = {"image": np.ones((2, 4, 4, 3), np.uint8), "label": np.ones((2, 4, 4), np.uint8)}
    placed = put_batch(batch, mesh)
    for name, array in placed.items():
        np.testing.assert_array_equal(array, batch[name])
        assert array.sharding.spec == jax.sharding.PartitionSpec("data", "rows")
        assert array.dtype == np.uint8
