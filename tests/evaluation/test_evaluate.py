"""One confusion matrix for any batches, devices and processes; pictures, table and JSON."""

import json
import os
import socket
import subprocess
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import config, evaluate, state
from jaxseg.data.labels import LabelSpec, voc_palette
from jaxseg.evaluation import split
from jaxseg.evaluation.record import to_json
from jaxseg.inference import infer
from jaxseg.metrics import image_intervals, summarize
from jaxseg.runtime.mesh import make_mesh
from jaxseg.tasks import semantic
from jaxseg.types import IGNORE
from jaxseg.workdir import per_image
from jaxseg.workdir.checkpoint import Checkpoints
from tests.conftest import ROOT

MEAN, STD = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)
PIXELS = config.Normalisation(MEAN, STD)
CROP = (7, 7)  # smaller than some of the images, so that there are several frames
NAMES = ("sky", "road", "car", "unicorn")  # the last is in no image
LABELS = LabelSpec(NAMES, voc_palette(4), {0: 0, 1: 1, 2: 2, 3: 3, 255: IGNORE})


class Pictures:
    """Images of several sizes in memory, which are not multiples of a stride."""

    labels = LABELS

    def __init__(self, count=7, seed=0):
        rng = np.random.default_rng(seed)
        self.examples = []
        for i in range(count):
            shape = (int(rng.integers(5, 11)), int(rng.integers(4, 13)))
            label = rng.integers(0, 3, shape).astype(np.uint8)
            label[rng.random(shape) < 0.2] = IGNORE
            image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
            self.examples.append({"image": image, "label": label, "name": f"picture {i}"})
        self.largest = (12, 14)

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, index):
        return self.examples[index]

    def __repr__(self):
        return f"Pictures({len(self)})"


class Local(nn.Module):
    """A 3 x 3 convolution, so that distant padding does not matter; counts its traces."""

    num_classes: int = 4
    traces = [0]

    @nn.compact
    def __call__(self, images, *, train):
        self.traces[0] += 1
        return {"logits": nn.Conv(self.num_classes, (3, 3))(images)}


def start(model=None):
    return (model or Local()).init(jax.random.key(1), jnp.zeros((1, 8, 8, 3)), train=False)


def run(source, protocol=None, *, variables=None, mesh=None, model=None, loss=None):
    return split.evaluate(
        model or Local(),
        variables or start(),
        source,
        protocol=protocol or config.Eval(batch_size=3),
        normalisation=PIXELS,
        crop=CROP,
        threads=0,
        mesh=mesh,
        progress=False,
        loss=loss,
    )


def oracle(source, count=None):
    """Evaluates image by image in NumPy: convolution, argmax, and counts with np.add.at."""
    variables = start()["params"]["Conv_0"]
    total, images = np.zeros((4, 4), np.int64), []
    for i in range(count or len(source)):
        example = source[i]
        h, w = example["label"].shape
        # Padding is the mean colour as uint8, which is 0 after normalisation.
        x = np.pad((example["image"] - MEAN) / STD, ((1, 1), (1, 1), (0, 0)))
        logits = sum(
            x[dy : dy + h, dx : dx + w] @ np.asarray(variables["kernel"][dy, dx], np.float64)
            for dy in range(3)
            for dx in range(3)
        ) + np.asarray(variables["bias"])
        one = np.zeros((4, 4), np.int64)
        valid = example["label"] != IGNORE
        np.add.at(one, (example["label"][valid], logits.argmax(-1)[valid]), 1)
        present = [k for k in range(4) if one[k].sum()]
        ious = [one[k, k] / (one[k].sum() + one[:, k].sum() - one[k, k]) for k in present]
        images.append((np.mean(ious), np.trace(one) / one.sum()))
        total += one
    return total, images


@pytest.mark.newest
def test_counts_equal_numpy_image_by_image():
    source = Pictures()
    found = run(source)
    confusion, images = oracle(source)
    assert found.confusion.dtype == np.int64
    np.testing.assert_array_equal(found.confusion, confusion)
    assert found.confusion.sum() == sum((e["label"] != IGNORE).sum() for e in source.examples)
    assert [image["name"] for image in found.images] == [f"picture {i}" for i in range(7)]
    np.testing.assert_array_equal(found.per_image.confusion(), confusion)
    numbers = [(image["miou"], image["pixel_accuracy"]) for image in found.images]
    np.testing.assert_allclose(numbers, images, rtol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 7, 50])
def test_batch_size_frame_and_fillers_change_nothing(batch_size):
    source = Pictures()
    for size in ((0, 0), (13, 20)):
        found = run(source, config.Eval(batch_size=batch_size, size=size))
        np.testing.assert_array_equal(found.confusion, oracle(source)[0])
        assert len(found.images) == 7
        singles = np.stack([oracle([source[i]])[0] for i in range(7)])
        np.testing.assert_array_equal(found.per_image.matrices(), singles)


class TwoClasses(Pictures):
    labels = LabelSpec(NAMES[:2], voc_palette(2), {0: 0, 1: 1, 255: IGNORE})

    def __init__(self):
        super().__init__()
        for example in self.examples:
            label = example["label"]
            label[label == 2] = 1


@pytest.mark.parametrize("source", [Pictures(), TwoClasses()])
def test_calibration_error_and_area_equal_numpy_for_any_batch(source):
    """The reference has images in other frames, whose pixels are binned by their scores."""
    model = Local(source.labels.num_classes)
    variables = start(model)
    scores, truth = [], []
    predict = infer.make_probabilities(model, config.Eval(), PIXELS)
    for example in source.examples:
        valid = example["label"] != IGNORE
        scores.append(np.asarray(predict(variables, example["image"][None])[0])[valid])
        truth.append(example["label"][valid])
    scores, truth = np.concatenate(scores), np.concatenate(truth)
    confidence, right = scores.max(-1), scores.argmax(-1) == truth
    place = np.ceil(confidence * 15)
    gaps = [abs(np.sum(right[place == b] - confidence[place == b])) for b in range(1, 16)]
    for batch_size in (2, 7):
        protocol = config.Eval(batch_size=batch_size, size=(12, 14), calibration=True)
        found = run(source, protocol, variables=variables, model=model)
        numbers = found.probabilities
        np.testing.assert_allclose(numbers["calibration_error"], sum(gaps) / len(truth), atol=2e-5)
        if len(variables["params"]["Conv_0"]["bias"]) == 2:
            ones, zeros = scores[truth == 1, 1], scores[truth == 0, 1]
            area = np.mean(ones[:, None] > zeros) + np.mean(ones[:, None] == zeros) / 2
            np.testing.assert_allclose(numbers["roc_auc"], area, atol=1e-4)
            assert len(numbers) == 2
        else:
            assert len(numbers) == 1
        plain = run(source, config.Eval(batch_size=7), variables=variables, model=model)
        np.testing.assert_array_equal(found.confusion, plain.confusion)
        assert not plain.probabilities


WEIGHTED = config.Loss(class_weights=(0.5, 2.0, 1.0, 3.0), label_smoothing=0.1)


def losses_of(source, protocol, loss):
    """Computes the loss of each valid pixel in float64 from the probabilities of each image."""
    predict = infer.make_probabilities(Local(), protocol, PIXELS)
    found = []
    for example in source.examples:
        scores = np.asarray(predict(start(), example["image"][None])[0], np.float64)
        label, logs = example["label"], np.log(scores)
        valid = label != IGNORE
        truth = np.eye(4)[label[valid]]
        target = (1 - loss.label_smoothing) * truth + loss.label_smoothing / 4
        weights = np.asarray(loss.class_weights or np.ones(4))[label[valid]]
        found.append(-weights * np.sum(target * logs[valid], axis=-1))
    return np.concatenate(found)


@pytest.mark.parametrize("loss", [config.Loss(), WEIGHTED])
def test_the_loss_is_the_mean_over_the_valid_pixels_of_the_split_for_any_batch(loss):
    source = Pictures()
    source.examples[2]["label"][:] = IGNORE
    expected = losses_of(source, config.Eval(), loss).mean()
    per_image = np.mean(
        [losses_of(Pictures(1, seed), config.Eval(), loss).mean() for seed in (0, 1)]
    )
    assert abs(per_image - expected) > 1e-3  # the mean over images differs
    for batch_size in (1, 3, 7):
        protocol = config.Eval(batch_size=batch_size, size=(12, 14) if batch_size == 7 else (0, 0))
        found = run(source, protocol, loss=loss)
        np.testing.assert_allclose(found.loss, expected, rtol=2e-6)
        np.testing.assert_array_equal(found.confusion, run(source, protocol).confusion)
    assert run(source).loss is None


def test_the_loss_of_several_views_uses_their_mean_probabilities():
    source, flipped = Pictures(), config.Eval(batch_size=3, flip=True)
    expected = losses_of(source, flipped, WEIGHTED).mean()
    np.testing.assert_allclose(run(source, flipped, loss=WEIGHTED).loss, expected, rtol=2e-6)
    counted = config.Eval(batch_size=3, flip=True, calibration=True)
    np.testing.assert_allclose(run(source, counted, loss=WEIGHTED).loss, expected, rtol=2e-6)


def test_only_the_first_examples_are_read_if_requested():
    source = Pictures()
    found = run(source, config.Eval(batch_size=2, examples=3))
    np.testing.assert_array_equal(found.confusion, oracle(source, 3)[0])
    assert [image["index"] for image in found.images] == [0, 1, 2]


def test_a_second_evaluation_does_not_retrace():
    source, traces = Pictures(), Local.traces
    run(source, config.Eval(batch_size=2, size=(12, 15)))
    before = traces[0]
    changed = jax.tree.map(lambda leaf: leaf + 1, start())
    before = traces[0]
    run(source, config.Eval(batch_size=2, size=(12, 15)), variables=changed)
    assert traces[0] == before


def test_scores_of_the_whole_set_are_never_in_memory():
    held = []

    class Watching(Pictures):
        def __getitem__(self, index):
            held.append(sum(array.nbytes for array in jax.live_arrays()))
            return super().__getitem__(index)

    protocol = config.Eval(batch_size=1, size=(40, 40), scales=(0.5, 1.0, 1.5), flip=True)
    most = {}
    for count in (4, 24):
        held.clear()
        run(Watching(count), protocol)
        most[count] = max(held)
    assert most[24] <= most[4] + 4 * 4 * 4 * 20  # the small counts of a few batches


def test_a_completely_void_image_has_no_metrics():
    source = Pictures(3)
    source.examples[1]["label"][:] = IGNORE
    found = run(source)
    assert np.isnan(found.images[1]["miou"])
    record = json.loads(json.dumps(to_json(found, LABELS), allow_nan=False))
    assert record["images"][1]["miou"] is None
    assert record["metrics"]["absent"] == ["unicorn"]
    assert not found.per_image.matrices()[1].any()


@pytest.mark.parametrize("flip", [False, True])
def test_nan_is_reported_with_the_names_of_the_images(flip):
    source = Pictures()
    broken = jax.tree.map(lambda leaf: leaf.at[(0,) * leaf.ndim].set(jnp.nan), start())
    with pytest.raises(ValueError, match=r"not finite .* of \d+ images: picture \d, picture \d"):
        run(source, config.Eval(batch_size=2, flip=flip), variables=broken)


def test_an_empty_split_is_refused():
    with pytest.raises(ValueError, match="has no images"):
        run(Pictures(0))


def test_an_image_larger_than_the_frame_of_the_protocol_has_its_own_frame():
    found = run(Pictures(), config.Eval(size=(8, 9), batch_size=3))
    np.testing.assert_array_equal(found.confusion, oracle(Pictures())[0])
    assert sum(found.frames.values()) == 7
    assert (8, 9) in found.frames
    assert len(found.frames) > 1


TWO_DEVICES = os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=2"
WORKER = """
import json, sys
from jaxseg.runtime import processes
process, count, port = map(int, sys.argv[1:])
processes.initialize(f"127.0.0.1:{port}", count, process)
import jax, numpy as np
from jaxseg import config
from jaxseg.runtime.mesh import make_mesh
from tests.evaluation.test_evaluate import WEIGHTED, Pictures, run
protocol = config.Eval(batch_size=3, size=(12, 14), flip=True, calibration=True)  # 3 becomes 4
result = run(Pictures(), protocol, mesh=make_mesh(rows=2), loss=WEIGHTED)
told = {"devices": jax.device_count(), "images": result.images}
told["calibration"] = result.probabilities["calibration_error"]
told["loss"] = result.loss
print(json.dumps(told | {"confusion": result.confusion.tolist()}))
"""


@pytest.mark.slow
def test_two_processes_of_two_devices_count_the_same():
    """Images are sharded over processes, rows over devices; 7 images in batches of 4."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "XLA_FLAGS": TWO_DEVICES}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(i), "2", port],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    done = [worker.communicate(timeout=300) for worker in workers]
    protocol = config.Eval(batch_size=7, size=(12, 14), flip=True, calibration=True)
    here = run(Pictures(), protocol, loss=WEIGHTED)
    for worker, (out, error) in zip(workers, done, strict=True):
        assert worker.returncode == 0, error
        told = json.loads(out.splitlines()[-1])
        assert told["devices"] == 4
        assert told["confusion"] == here.confusion.tolist()
        assert told["images"] == here.images
        # Bitwise equal with full optimisation. As compiled for tests, without LLVM's optimisation,
        # a pixel at the edge of a bin may be rounded into the next one.
        calibration = here.probabilities["calibration_error"]
        assert told["calibration"] == pytest.approx(calibration, rel=1e-5)
        assert told["loss"] == pytest.approx(here.loss, rel=2e-6)


def test_a_mesh_of_one_device_counts_the_same():
    found = run(Pictures(), mesh=make_mesh())
    np.testing.assert_array_equal(found.confusion, oracle(Pictures())[0])


@pytest.fixture
def run_folder(tmp_path, monkeypatch):
    """A run folder with two checkpoints, of which the newer one also has averaged weights."""
    experiment = config.Experiment(
        model=Local(),
        data=config.Data(name="pictures", normalisation=PIXELS, threads=0),
        eval=config.Eval(batch_size=2),
    )
    monkeypatch.setattr(semantic, "open_split", lambda *_: Pictures())
    zeros = jax.tree.map(jnp.zeros_like, start()["params"])
    with Checkpoints(tmp_path / "checkpoints", 2) as saved:
        for step, params in ((1, zeros), (2, start()["params"])):
            kept = state.TrainState(
                jnp.int32(step), params, {}, {}, {"params": zeros, "batch_stats": {}}
            )
            saved.save(step, kept, {"position": 0}, wait=True)
    return experiment, tmp_path


@pytest.mark.newest
def test_run_writes_numbers_and_pictures_of_the_newest_checkpoint(run_folder, capsys):
    experiment, folder = run_folder
    experiment.eval.use_ema, experiment.eval.calibration = False, True
    (folder / "eval" / "val_no-ema").mkdir(parents=True)
    (folder / "eval" / "val_no-ema" / "best_9_old.png").touch()
    evaluate.run(experiment, folder, progress=False)
    record = json.loads((folder / "eval" / "val_no-ema.json").read_text())
    confusion, images = oracle(Pictures())
    assert record["confusion"] == confusion.tolist()
    assert (record["step"], record["weights"], record["split"]) == (2, None, "val")
    assert record["protocol"]["scales"] == [1.0]
    summary = summarize(confusion)
    assert record["metrics"]["miou"] == pytest.approx(summary.miou)
    assert record["metrics"]["recall"]["road"] == pytest.approx(summary.recall[1])
    for name in ("mean_dice", "kappa", "miou_truth", "miou_zero", "miou_one"):
        assert record["metrics"][name] == pytest.approx(getattr(summary, name))
    counts = per_image.read(folder / "eval" / "val_no-ema.npz")
    assert counts.names == tuple(image["name"] for image in record["images"])
    np.testing.assert_array_equal(counts.confusion(), confusion)
    interval = image_intervals.bootstrap_miou(counts.matrices())
    assert record["metrics"]["miou_interval"] == [interval.low, interval.high]
    pictures = sorted(path.name for path in (folder / "eval" / "val_no-ema").iterdir())
    order = np.argsort([-miou for miou, _ in images])
    assert len(pictures) == 7  # four best, three worst, no duplicates, no old ones
    assert f"best_1_picture_{order[0]}.png" in pictures
    assert f"worst_1_picture_{order[-1]}.png" in pictures
    printed = capsys.readouterr().out
    between = f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
    assert f"{100 * summary.miou:.2f}  {between} (95 %, over images)" in printed
    assert "absent from the truth: unicorn" in printed
    assert "step 2 of one run on 7 images" in printed
    assert (record["runs"], record["seed"]) == (1, 0)
    error = record["metrics"]["calibration_error"]
    assert f"calibration error: {100 * error:.2f} %" in printed


def test_run_uses_averaged_weights_by_default(run_folder):
    experiment, folder = run_folder
    found = evaluate.run(experiment, folder, progress=False)
    assert (found.confusion[:, 1:] == 0).all()  # the averages are zero: all is class 0
    with pytest.raises(FileNotFoundError, match="no run has saved a checkpoint"):
        evaluate.run(experiment, folder / "nowhere", progress=False)
