"""What a benchmark may state: medians, turns, and no ratio on a busy machine."""

import json
import sys

import numpy as np
import pytest

from experiments.benchmarks import operation_list, processes, timing, work
from experiments.benchmarks.timing import Comparison, Times


def times(*rounds):
    return Times(list(rounds), list(rounds))


def test_a_round_counts_by_its_median_and_least_cpu_time():
    measured = Times()
    measured.add([(3.0, 5.0), (1.0, 4.0), (2.0, 6.0)])
    measured.add([(4.0, 9.0)])
    assert measured.wall == [2.0, 4.0]
    assert measured.cpu == [4.0, 9.0]
    assert measured.median == 3.0
    assert measured.spread == 2.0
    both = measured + measured
    assert both.wall == [4.0, 8.0]
    assert both.to_json()["cpu"] == 8.0


@pytest.mark.parametrize(
    ("load", "ours", "other", "told"),
    [
        (0.5, times(1.0, 1.3), times(2.0, 2.0), "0.57"),
        (0.51, times(1.0, 1.0), times(2.0, 2.0), "load 0.51"),
        (0.0, times(1.0, 1.31), times(2.0, 2.0), "ours 1.31"),
        (0.0, times(1.0, 1.0), times(2.0, 3.0), "peer 1.50"),
    ],
)
def test_no_ratio_is_told_on_a_busy_machine(load, ours, other, told):
    compared = Comparison.of(("ours", ours), ("peer", other), load, 0.6)
    assert told in str(compared)
    quiet = told == "0.57"
    assert (compared.ratio is not None) == quiet
    assert compared.met is (True if quiet else None)
    assert str(compared).startswith("no ratio") != quiet
    json.dumps(compared.to_json())


def test_a_missed_target_is_said():
    compared = Comparison.of(("a", times(1.3, 1.3)), ("b", times(1.0, 1.0)), 0.0, 1.2)
    assert compared.met is False
    assert "MISSED" in str(compared)
    assert Comparison.of(("a", times(1.2, 1.2)), ("b", times(1.0, 1.0)), 0.0, 1.2).met


def test_calls_take_turns_and_every_second_round_goes_backwards(monkeypatch):
    monkeypatch.setattr(timing, "share_stolen", lambda *_: 0.0)
    order = []

    def block(name):
        def run(count):
            order.append(name)
            sum(range(20_000 * count))

        return run

    measured = timing.take_turns({"a": block("a"), "b": block("b")}, rounds=2, seconds=0.0)
    warm = 3  # the first call and two to learn how long it takes
    assert order[:warm] == ["a"] * warm
    assert order[2 * warm :] == ["a"] * 3 + ["b"] * 3 + ["b"] * 3 + ["a"] * 3
    assert all(len(t.wall) == 2 and min(t.wall) > 0 for t in measured.values())


def test_a_turn_in_which_the_host_took_the_processors_is_taken_again(monkeypatch):
    shares = iter([0.06, 0.05, *[0.9] * 3])  # again; again until both spare ones are gone
    monkeypatch.setattr(timing, "share_stolen", lambda *_: next(shares))
    calls = []
    measured = timing.take_turns({"a": calls.append}, rounds=2, seconds=0.0)
    assert len(measured["a"].wall) == 2
    assert len(calls) == 3 + 3 * (2 + 2)
    assert next(shares) == 0.9


PROGRAM = """
import os, time
from experiments.benchmarks import processes
print("a library says something")
calls = []
def step():
    calls.append(os.environ["NAME"])
    time.sleep(0.02 if len(calls) > 3 + 4 + 1 else 0)  # first steps, a round, one step
    return len(calls)
processes.serve(step, float, {"name": os.environ["NAME"]})
"""


def test_contenders_are_processes_that_work_in_turn():
    commands = {
        name: ([sys.executable, "-c", PROGRAM], {"NAME": name}) for name in ("first", "second")
    }
    with processes.running(commands) as contenders:
        processes.interleave(contenders, rounds=2, steps=3)
    assert [c.facts["name"] for c in contenders] == ["first", "second"]
    for contender in contenders:
        assert contender.facts["values"] == [1.0, 2.0, 3.0]
        assert contender.facts["resident_mb"] > 0
        assert len(contender.times.wall) == 2
        assert 0.02 <= min(contender.times.wall) < 1
        assert contender.process.poll() is not None


def test_a_round_in_which_the_host_took_the_processors_is_done_again(monkeypatch, capsys):
    shares = iter([0.06, 0.05])
    monkeypatch.setattr(processes, "share_stolen", lambda *_: next(shares))
    with processes.running(
        {"one": ([sys.executable, "-c", PROGRAM], {"NAME": "one"})}
    ) as contenders:
        processes.interleave(contenders, rounds=1, steps=1)
        assert len(contenders[0].times.wall) == 1
        assert "again: 6 % of a turn" in capsys.readouterr().err
        shares = iter([0.9] * 4)
        processes.interleave(
            contenders, rounds=2, steps=1
        )  # two spare rounds, then it takes what is
    assert len(contenders[0].times.wall) == 3
    assert next(shares, None) is None


def test_the_share_that_the_host_took():
    assert timing.share_stolen((10, 100), (15, 200)) == 0.05
    assert timing.share_stolen((0, 0), (0, 0)) == 0
    stolen, every = timing.processor_time()
    assert 0 <= stolen <= every


def test_a_contender_that_fails_is_named():
    with (
        pytest.raises(RuntimeError, match=r"broken ended with status 3"),
        processes.running({"broken": ([sys.executable, "-c", "raise SystemExit(3)"], {})}),
    ):
        pass


def test_the_loss_of_all_contenders_is_the_mean_over_pixels_that_are_not_void():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(1, 2, 2, 3))
    labels = np.array([[[0, 2], [work.IGNORE, 1]]], np.uint8)
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = -np.log([shares[0, 0, 0, 0], shares[0, 0, 1, 2], shares[0, 1, 1, 1]]).mean()
    np.testing.assert_allclose(work.cross_entropy(logits, labels), expected, rtol=1e-12)


def test_work_goes_through_a_command_line(monkeypatch):
    given = work.Work("v3_101", "train", 4, 128, "bfloat16", "plain", "weights.pth")
    monkeypatch.setattr(sys, "argv", ["program", given.argument()])
    assert work.from_arguments() == given
    assert given.depth == 101
    images, labels = work.batch_of(given)
    assert images.shape == (4, 128, 128, 3)
    assert labels.shape == (4, 128, 128)
    assert 0.08 < (labels == work.IGNORE).mean() < 0.12


@pytest.mark.parametrize(
    "case", ["v3", "v3-train-2", "v4-train-2x64", "v3-test-2x64", "v3-train-x"]
)
def test_an_unknown_case_is_refused(case):
    from experiments.benchmarks.train_step import work_of

    with pytest.raises(ValueError, match=rf"--case={case}: MODEL-STEP-BATCHxSIZE"):
        work_of(case, None, None, "float32")


def test_every_target_is_of_a_case_and_of_a_peer_that_has_its_network():
    from experiments.benchmarks import train_step

    for case, targets in train_step.TARGETS.items():
        given = train_step.work_of(case, None, None, "float32")
        assert f"{given.model}-{given.step}-{given.batch}x{given.size}" == case
        libraries = {train_step.library_of(given.model), "keras-hub", "jaxseg"}
        assert {name.split()[0] for name in targets} <= libraries


def test_flags_stand_in_for_a_part_of_the_case():
    from experiments.benchmarks.train_step import work_of

    given = work_of("v3_plus-train-2x256", None, 64, "float32")
    assert (given.model, given.step, given.batch, given.size) == ("v3_plus", "train", 2, 64)
    given = work_of("v3-inference", 3, None, "bfloat16")
    assert (given.batch, given.size, given.dtype) == (3, 256, "bfloat16")


@pytest.mark.parametrize(
    "name",
    [
        *("atrous 17x17 rate 12", "resize 33 to 129, 256 channels", "max pool 3x3 stride 2"),
        *("depthwise 65x65x256 rate 1 stride 2", "confusion matrix 513x513", "loss 513x513"),
    ],
)
def test_all_forms_of_a_measured_operation_agree(name):
    operation = operation_list.operations(1, 16, "float32")[name]()
    wanted, *others = (form(*operation.arguments) for form in operation.forms.values())
    for value in others:
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-4)
    assert operation.base in operation.forms
    assert "auto" in operation.forms
