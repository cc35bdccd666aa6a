"""Checkpoints: exact round trips, broken newest steps, misfits, donation, and a full disk."""

import logging
import resource
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg import checkpoint
from jaxseg.state import TrainState


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
    "empty folder",
    "truncated data",
    "no metadata",
    "truncated metadata",
    "no iterator",
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
        checkpoints.save(3, make_state(33), {"next": 33}, wait=True)
    with checkpoint.Checkpoints(tmp_path, keep=10) as checkpoints:
        state, iterator = checkpoints.restore(abstract_of(make_state()))
    assert_same(state, make_state(33))


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
        pytest.raises(ValueError, match=r"no checkpoint.*2 \(.*1 \(.*Delete"),
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
