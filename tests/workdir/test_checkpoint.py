"""Checkpoints: exact round trips, broken newest steps, misfits, donation, and a full disk."""

import errno
import logging
import os
import random
import resource
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg.state import TrainState
from jaxseg.workdir import checkpoint, checkpoint_reading, checksums
from tests.conftest import ROOT


def make_state(seed=0, width=3, ema=False):
    params = {"conv": {"kernel": jax.random.normal(jax.random.key(seed), (width, 4))}}
    stats = {"norm": {"mean": jnp.full(4, float(seed))}}
    return TrainState(
        step=jnp.int32(seed),
        params=params,
        batch_stats=stats,
        opt_state=optax.sgd(0.1, momentum=0.9).init(params),
        ema={"params": params, "batch_stats": stats} if ema else None,
    )


def abstract_of(state):
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state
    )


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


def save_steps(folder, *steps, **kwargs):
    with checkpoint.Checkpoints(folder, keep=10) as checkpoints:
        for step in steps:
            checkpoints.save(step, make_state(step, **kwargs), {"next": step})


def break_step(folder, step, how):
    step_folder = folder / str(step)
    if how == "empty folder":
        shutil.rmtree(step_folder)
        step_folder.mkdir()
    elif how == "truncated data":
        for file in step_folder.glob("state/**/d/*"):
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif how == "no metadata":
        (step_folder / "state" / "_METADATA").unlink()
    elif how == "truncated metadata":
        file = step_folder / "state" / "_METADATA"
        file.write_text(file.read_text()[:40])
    elif how == "no iterator":
        shutil.rmtree(step_folder / "iterator")
    elif how == "truncated iterator":
        (step_folder / "iterator" / "metadata").write_text('{"ne')


def test_round_trip_is_exact(tmp_path):
    save_steps(tmp_path, 1, 2)
    with checkpoint.Checkpoints(tmp_path, keep=10) as checkpoints:
        assert checkpoints.latest == 2
        state, iterator = checkpoints.restore(abstract_of(make_state()))
    assert_same(state, make_state(2))
    assert iterator == {"next": 2}


def test_an_empty_folder_has_nothing_to_restore(tmp_path):
    with checkpoint.Checkpoints(tmp_path / "new", keep=1) as checkpoints:
        assert checkpoints.restore(abstract_of(make_state())) is None
        assert checkpoints.latest is None


def test_keeps_the_newest(tmp_path):
    with checkpoint.Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, make_state(step), {"next": step}, wait=True)
        checkpoints.save(3, make_state(7), {"next": 7}, wait=True)  # left as it is
        state, _ = checkpoints.restore(abstract_of(make_state()))
    assert_same(state, make_state(3))
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ["2", "3"]


BREAKS = [
    pytest.param("empty folder", marks=pytest.mark.slow),
    "truncated data",
    "no metadata",
    pytest.param("truncated metadata", marks=pytest.mark.slow),
    pytest.param("no iterator", marks=pytest.mark.slow),
    "truncated iterator",
]


@pytest.mark.parametrize("how", BREAKS)
def test_broken_newest_step_falls_back_and_later_saves_work(tmp_path, how, caplog):
    save_steps(tmp_path, 1, 2, 3)
    break_step(tmp_path, 3, how)
    with checkpoint.Checkpoints(tmp_path, keep=10) as checkpoints:
        with caplog.at_level(logging.WARNING):
            state, iterator = checkpoints.restore(abstract_of(make_state()))
        assert_same(state, make_state(2))
        assert iterator == {"next": 2}
        warning = [r.getMessage() for r in caplog.records if "jaxseg" in r.name]
        assert len(warning) == 1
        assert str(tmp_path / "3") in warning[0]
        assert "step 2" in warning[0]
        assert (tmp_path / "3.damaged").is_dir()
        checkpoints.save(3, make_state(33), {"next": 33}, wait=True)
    with checkpoint.Checkpoints(tmp_path, keep=10) as checkpoints:
        state, iterator = checkpoints.restore(abstract_of(make_state()))
    assert_same(state, make_state(33))
    assert (tmp_path / "3.damaged").is_dir()


def test_evaluation_passes_over_broken_steps_and_deletes_nothing(tmp_path):
    save_steps(tmp_path, 1, 2, 3, ema=True)
    break_step(tmp_path, 3, "truncated data")
    (tmp_path / "4").mkdir()
    variables, step = checkpoint.restore_variables(tmp_path)
    assert step == 2
    expected = make_state(2, ema=True)
    assert set(variables) == {"params", "batch_stats", "ema"}
    assert_same(variables["params"], jax.device_get(expected.params))
    assert_same(variables["ema"], jax.device_get(expected.ema))
    assert isinstance(variables["params"]["conv"]["kernel"], np.ndarray)
    assert (tmp_path / "4").is_dir()
    assert checkpoint.restore_variables(tmp_path, step=1)[1] == 1


def test_evaluation_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        checkpoint.restore_variables(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="no checkpoint yet"):
        checkpoint.restore_variables(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    save_steps(tmp_path / "checkpoints", 1)
    assert checkpoint.restore_variables(tmp_path)[1] == 1  # the run folder does as well
    with pytest.raises(FileNotFoundError, match=r"no step 5; it has \[1\]"):
        checkpoint.restore_variables(tmp_path, step=5)


def test_nothing_readable_is_one_line_with_the_way_out(tmp_path):
    save_steps(tmp_path, 1, 2)
    for step in (1, 2):
        break_step(tmp_path, step, "truncated metadata")
    with (
        checkpoint.Checkpoints(tmp_path, keep=10) as checkpoints,
        pytest.raises(ValueError, match=r"no checkpoint.*2 \(.*1 \(.*Move"),
    ):
        checkpoints.restore(abstract_of(make_state()))
    assert (tmp_path / "1").is_dir()
    assert (tmp_path / "2").is_dir()


def test_a_misfit_is_refused_with_the_differences(tmp_path):
    save_steps(tmp_path, 1)
    wanted = make_state(width=5, ema=True)
    wanted = wanted.replace(batch_stats={"norm": {"mean": jnp.zeros(4, jnp.bfloat16)}})
    with (
        checkpoint.Checkpoints(tmp_path, keep=10) as checkpoints,
        pytest.raises(ValueError, match="does not fit the config") as error,
    ):
        checkpoints.restore(abstract_of(wanted))
    lines = str(error.value).splitlines()
    assert "  params/conv/kernel: expected float32 [5, 4], found float32 [3, 4]" in lines
    assert "  batch_stats/norm/mean: expected bfloat16 [4], found float32 [4]" in lines
    assert "  ema/params/conv/kernel: expected float32 [3, 4], found nothing" not in lines
    assert "  ema/params/conv/kernel: expected float32 [5, 4], found nothing" in lines
    assert (tmp_path / "1").is_dir()


def test_donated_arrays_are_saved_as_they_were(tmp_path):
    """The step after an asynchronous save overwrites the very memory that is being written."""
    change = jax.jit(lambda x: x * 0 - 1, donate_argnums=0)
    params = {"kernel": jnp.arange(2_000_000, dtype=jnp.float32)}
    state = TrainState(jnp.int32(0), params, {}, optax.sgd(0.1).init(params))
    with checkpoint.Checkpoints(tmp_path, keep=10) as checkpoints:
        checkpoints.save(1, state, {"next": 1})
        state = state.replace(params=jax.tree.map(change, state.params))
        jax.block_until_ready(state)
    variables, _ = checkpoint.restore_variables(tmp_path)
    np.testing.assert_array_equal(variables["params"]["kernel"], np.arange(2_000_000))


@pytest.fixture
def no_room():
    """No file can grow past a kilobyte, as where a disk is full; error 27 instead of 28."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("wait", [True, False])
def test_a_save_without_room_is_one_line_and_the_older_step_stays(tmp_path, request, capfd, wait):
    """Also where the save goes on in the background and only the end of the run hears of it."""
    folder = tmp_path / "checkpoints"

    def save():
        with checkpoint.Checkpoints(folder, keep=3) as checkpoints:
            checkpoints.save(1, make_state(1), {"next": 1}, wait=True)
            wide = make_state(2, width=999)
            request.getfixturevalue("no_room")
            checkpoints.save(2, wide, {"next": 2}, wait=wait)

    with pytest.raises(OSError, match=r"cannot be saved in .*: file too large; the last") as error:
        save()
    assert str(folder / "1") in str(error.value)
    assert "\n" not in str(error.value)
    assert "Traceback" not in capfd.readouterr().err
    assert checkpoint.restore_variables(folder)[1] == 1


def restored(folder, **kwargs):
    """("step 2", "older" or "refused") of a folder with the steps 1 and 2; a fault asserts."""
    try:
        with checkpoint.Checkpoints(folder, keep=10) as checkpoints:
            state, iterator = checkpoints.restore(abstract_of(make_state(**kwargs)))
    except (OSError, ValueError):
        return "refused"
    step = iterator["next"]
    assert_same(state, make_state(step, **kwargs))
    return {1: "older", 2: "step 2"}[step]


def flip(folder, number):
    """Flips one bit somewhere in the files of a folder, all bits alike; returns where."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    at = random.Random(number).randrange(8 * sum(path.stat().st_size for path in files))
    for path in files:
        data = bytearray(path.read_bytes())
        if at < 8 * len(data):
            data[at // 8] ^= 1 << at % 8
            path.write_bytes(data)
            return path
        at -= 8 * len(data)
    raise AssertionError


@pytest.mark.parametrize("count", [4, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.long])])
def test_each_of_sixty_flipped_bits_is_noticed_or_harmless(tmp_path, count):
    """Most of the bits are of values, as in a network of any size."""
    save_steps(tmp_path / "good", 1, 2, width=2000)
    for number in range(count):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "good", folder)
        flip(folder / "2", number)
        restored(folder, width=2000)


def test_a_changed_value_is_noticed_by_all_that_read_it(tmp_path, caplog):
    """The values of the step before, in files that are whole: only the checksums tell."""
    save_steps(tmp_path, 1, 2)
    shutil.rmtree(tmp_path / "2" / "state")
    shutil.copytree(tmp_path / "1" / "state", tmp_path / "2" / "state")
    assert checkpoint.restore_variables(tmp_path)[1] == 1
    with pytest.raises(ValueError, match=r"step 2 is damaged \(.*batch_stats/norm/mean and 1 more"):
        checkpoint.restore_variables(tmp_path, step=2)
    assert restored(tmp_path) == "older"
    assert "is not what was saved" in caplog.text
    assert (tmp_path / "2.damaged").is_dir()


def test_a_changed_place_of_the_loader_is_noticed(tmp_path):
    save_steps(tmp_path, 1, 2)
    (tmp_path / "2" / "iterator" / "metadata").write_text('{"next": 3}')
    assert restored(tmp_path) == "older"


SLOW_ERRORS = [pytest.param(n, marks=pytest.mark.slow) for n in (errno.EIO, errno.ESTALE)]


@pytest.mark.parametrize("number", [errno.EACCES, *SLOW_ERRORS])
def test_what_cannot_be_read_for_now_is_neither_moved_nor_passed_over(
    tmp_path, monkeypatch, number
):
    save_steps(tmp_path, 1, 2)
    real = checkpoint_reading.metadata

    def refuse(manager, step):
        if step == 2:
            raise OSError(number, os.strerror(number), str(tmp_path / "2" / "state"))
        return real(manager, step)

    monkeypatch.setattr(checkpoint_reading, "metadata", refuse)
    why = f"{tmp_path / '2'} cannot be read at the moment \\({os.strerror(number).lower()}\\)"
    with (
        checkpoint.Checkpoints(tmp_path, keep=10) as checkpoints,
        pytest.raises(OSError, match=why),
    ):
        checkpoints.restore(abstract_of(make_state()))
    with pytest.raises(OSError, match=why):
        checkpoint.restore_variables(tmp_path)
    assert checkpoint.restore_variables(tmp_path, step=1)[1] == 1
    monkeypatch.undo()
    assert restored(tmp_path) == "step 2"


def test_the_number_of_an_error_below_tensorstore_is_understood(tmp_path):
    """A file that is a link to itself: no permission that root would not heed."""
    save_steps(tmp_path, 1, 2)
    for file in (tmp_path / "2" / "state").glob("**/d/*"):
        file.unlink()
        file.symlink_to(file.name)
    with pytest.raises(OSError, match="at the moment"):
        checkpoint.restore_variables(tmp_path)
    assert restored(tmp_path) == "refused"
    assert (tmp_path / "2").is_dir()


def test_a_checkpoint_of_a_version_without_checksums_is_taken_and_said(tmp_path, caplog):
    save_steps(tmp_path, 1, 2)
    shutil.rmtree(tmp_path / "2" / "checksums")
    assert restored(tmp_path) == "step 2"
    assert checkpoint.restore_variables(tmp_path)[1] == 2
    assert caplog.text.count("version without checksums: it is not verified") == 2


def test_a_pipe_in_a_checkpoint_is_not_waited_for(tmp_path):
    save_steps(tmp_path, 1, 2)
    (tmp_path / "2" / "iterator" / "metadata").unlink()
    os.mkfifo(tmp_path / "2" / "iterator" / "metadata")
    assert checkpoint.restore_variables(tmp_path)[1] == 1
    assert restored(tmp_path) == "older"


@pytest.mark.parametrize("place", ["2/_CHECKPOINT_METADATA", "pipe", "2/pipe"])
@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_where_orbax_looks_first_is_refused(tmp_path, place, linked):
    save_steps(tmp_path / "run", 1, 2)
    pipe = tmp_path / "run" / place
    pipe.unlink(missing_ok=True)
    os.mkfifo(tmp_path / "elsewhere" if linked else pipe)
    if linked:
        pipe.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=f"{pipe.name} is a pipe or a device"):
        checkpoint.restore_variables(tmp_path / "run")
    assert restored(tmp_path / "run") == "refused"


def test_checkpoints_are_not_written_through_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "checkpoints").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="is a symbolic link"):
        checkpoint.Checkpoints(tmp_path / "checkpoints", keep=1)


def test_checksums_see_every_type_and_every_bit():
    for dtype in ("float32", "bfloat16", "int32", "bool", "uint8"):
        array = np.asarray(jnp.zeros((2, 3), dtype))
        tree = {"a": array, "b": np.float32(1), "c": np.zeros((0, 3), np.float32)}
        record = checksums.record(tree, {"place": (1, 2)})
        checksums.check_record(record)
        assert record["iterator"] == checksums.of_json({"place": [1, 2]})
        assert checksums.differing(tree, record) == []
        changed = array.copy()
        changed.view(np.uint8).flat[-1] ^= 1
        assert checksums.differing({"a": changed, "b": tree["b"]}, record) == ["a"]
        record["leaves"]["a"]["shape"] = [3, 2]
        with pytest.raises(ValueError, match="damaged"):
            checksums.check_record(record)


@pytest.mark.slow
def test_a_state_that_is_spread_over_devices_is_verified_on_any_others(tmp_path):
    flags = os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.programs.spread_checkpoint", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": flags},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
