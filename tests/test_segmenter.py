"""`jaxseg.load`: what it predicts is what `jaxseg predict` writes, pixel for pixel."""

import dataclasses
import json
import subprocess
import sys

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

import jaxseg
from jaxseg import config, predict
from jaxseg.evaluation import split
from jaxseg.metrics import summarize
from jaxseg.state import TrainState
from jaxseg.training.step import init_variables
from jaxseg.workdir import checkpoint
from tests.conftest import ROOT
from tests.helpers.programs import tiny

SIZES = {"small": (10, 16), "wide": (20, 40)}  # two frames: 16 x 16 and 144 x 144


def _save(folder, step=7, seed=0):
    """A checkpoint of random variables, with an average that is other ones."""
    made = [init_variables(tiny.experiment(seed=s))[1] for s in (seed, seed + 1)]
    now, average = ({n: v[n] for n in ("params", "batch_stats")} for v in made)
    state = TrainState(step=jnp.int32(step), **now, opt_state={}, ema=average)
    with checkpoint.Checkpoints(folder / "checkpoints", 3) as checkpoints:
        checkpoints.save(step, state, {}, wait=True)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    _save(folder)
    (folder / "config.json").write_text(json.dumps(config.to_dict(tiny.experiment())))
    (folder / "labels.json").write_text(tiny.Squares().labels.to_json())
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for seed, (name, size) in enumerate(SIZES.items()):
        image = np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(image).save(folder / f"{name}.png")
    return folder


PROTOCOLS = {
    "own": None,
    "views": config.Eval(scales=(1.0, 0.5), flip=True),
    "no average": config.Eval(use_ema=False),
    "fcn": "fcn",
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_it_predicts_what_the_command_line_writes(run_folder, photos, tmp_path, protocol):
    given = PROTOCOLS[protocol]
    experiment = tiny.experiment()
    if isinstance(given, config.Eval):
        experiment.eval = given
    predict.main(experiment, run_folder, [photos], tmp_path, probabilities=True)
    network = jaxseg.load(run_folder)
    for name, size in SIZES.items():
        written = np.asarray(Image.open(tmp_path / "labels" / f"{name}.png"))
        scores = np.load(tmp_path / "probabilities" / f"{name}.npz")["probabilities"]
        image = np.asarray(Image.open(photos / f"{name}.png"))
        for source in (photos / f"{name}.png", str(photos / f"{name}.png"), image):
            ids = network.predict(source, given)
            assert ids.dtype == np.uint8
            assert ids.shape == size
            np.testing.assert_array_equal(ids, written)
        found = network.predict(image, given, probabilities=True)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found.astype(np.float16), scores)
    assert network.classes == ("ground", "red", "green")
    assert network.step == 7


def test_the_average_makes_a_difference(run_folder, photos):
    network = jaxseg.load(run_folder)
    image = photos / "wide.png"
    other = network.predict(image, PROTOCOLS["no average"])
    assert (network.predict(image) != other).any()


def test_a_batch_gives_a_batch_and_a_list_gives_a_list(run_folder):
    network = jaxseg.load(run_folder)
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    batch = network.predict(images)
    assert batch.shape == (3, 16, 16)
    for got in (network.predict(list(images)), network.predict(jnp.asarray(images))):
        np.testing.assert_array_equal(np.stack(list(got)), batch)
    np.testing.assert_array_equal(network.predict(images[1]), batch[1])


def test_it_counts_what_an_evaluation_counts(run_folder, tmp_path):
    network = jaxseg.load(run_folder)
    source, experiment = tiny.Squares(4), tiny.experiment()
    expected = split.evaluate(
        experiment.model,
        network.variables,
        source,
        protocol=experiment.eval,
        normalisation=experiment.data.normalisation,
        crop=experiment.data.crop_size,
        progress=False,
    )
    examples = [source[i] for i in range(len(source))]
    images, labels = ([e[name] for e in examples] for name in ("image", "label"))
    files = []
    for i, label in enumerate(labels):
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(label).save(files[-1])
    for truth in (labels, np.stack(labels).astype(np.int32), files):
        found = network.evaluate(images, truth)
        assert found.pixel_accuracy == np.trace(expected.confusion) / expected.confusion.sum()
        np.testing.assert_array_equal(found.iou, summarize(expected.confusion).iou)
    predictions = network.predict(images)
    right = sum((p == t).sum() for p, t in zip(predictions, labels, strict=True))
    assert right == np.trace(expected.confusion)


def test_the_summary_is_of_the_size_that_is_asked_for(run_folder):
    network = jaxseg.load(run_folder)
    assert network.summary().startswith("Tiny, one image of 16 x 16")
    assert network.summary((32, 48)).startswith("Tiny, one image of 32 x 48")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4, 3)), r"uint8 \[H, W, 3\].* float64 \[4, 4, 3\]"),
        (np.zeros((4, 4), np.uint8), r"uint8 \[4, 4\]"),
        (np.zeros((4, 4, 4), np.uint8), r"uint8 \[4, 4, 4\]"),
        (None, "not object"),
    ],
)
def test_what_is_not_an_image_is_refused(run_folder, image, words):
    with pytest.raises(ValueError, match=words):
        jaxseg.load(run_folder).predict(image)


def test_a_file_that_cannot_be_read_is_named(run_folder, tmp_path):
    network = jaxseg.load(run_folder)
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"broken\.png: "):
        network.predict([tmp_path / "broken.png"])
    with pytest.raises(FileNotFoundError, match=r"gone\.png: no such file"):
        network.predict(tmp_path / "gone.png")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        network.predict(tmp_path)
    with pytest.raises(ValueError, match="--protocol=deeplab is unknown; it can be fcn"):
        network.predict(np.zeros((4, 4, 3), np.uint8), "deeplab")


def test_labels_that_do_not_fit_are_refused(run_folder):
    network = jaxseg.load(run_folder)
    image, label = np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5), np.uint8)
    with pytest.raises(ValueError, match="1 image but 2 labels"):
        network.evaluate([image], [label, label])
    with pytest.raises(ValueError, match="holds 3: train ids are 0 to 2"):
        network.evaluate([image], [label + 3])
    with pytest.raises(ValueError, match=r"image 0 is \(4, 5\), its label \(5, 4\)"):
        network.evaluate([image], [label.T])
    with pytest.raises(ValueError, match=r"lists or batches"):
        network.evaluate(image, label)


def test_a_run_that_goes_on_is_not_mixed_with_what_was_loaded(run_folder, tmp_path):
    _save(tmp_path)
    for name in ("config.json", "labels.json"):
        (tmp_path / name).write_bytes((run_folder / name).read_bytes())
    network = jaxseg.load(tmp_path)
    _save(tmp_path, step=8, seed=5)
    with pytest.raises(ValueError, match="has since reached step 8: load it again"):
        network.predict(np.zeros((4, 4, 3), np.uint8), config.Eval(use_ema=False))


def test_what_cannot_be_loaded_is_refused_with_the_way_out(run_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone: no such file or folder"):
        jaxseg.load(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match=r"a folder without config\.json"):
        jaxseg.load(tmp_path)
    weights = tmp_path / "w.safetensors"
    safetensors.numpy.save_file({"w": np.zeros(1, np.float32)}, weights)
    with pytest.raises(ValueError, match=r"holds only weights: .*config=EXPERIMENT"):
        jaxseg.load(weights)
    experiment = tiny.experiment()
    experiment.data.name = "voc2012"
    with pytest.raises(ValueError, match="no name table fits"):
        jaxseg.load(weights, config=experiment)
    with pytest.raises(ValueError, match=r"gone\.py: no such file"):
        jaxseg.load(weights, config=tmp_path / "gone.py")
    wrong = dataclasses.replace(experiment, eval=config.Eval(scales=(-1.0,)))
    with pytest.raises(ValueError, match=r"eval\.scales"):
        jaxseg.load(run_folder, config=wrong)
    other = dataclasses.replace(tiny.experiment(), model=tiny.Tiny(features=9))
    with pytest.raises(ValueError, match="does not fit the config"):
        jaxseg.load(run_folder, config=other)


@pytest.mark.slow
def test_a_weight_file_predicts_with_the_experiment_that_names_its_network(shared, tmp_path):
    weights = shared / "weights" / "deeplabv3_257_mv_gpu.tflite"
    file = ROOT / "experiments" / "deeplab_v3" / "google_voc.py"
    network = jaxseg.load(weights, config=file)
    assert network.step is None
    assert network.classes[15] == "person"
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    protocol = config.Eval(size=(65, 81), output_stride=16)
    experiment = dataclasses.replace(network.experiment, eval=protocol)
    predict.main(experiment, None, [tmp_path / "a.png"], tmp_path / "out", str(weights))
    written = np.asarray(Image.open(tmp_path / "out" / "labels" / "a.png"))
    np.testing.assert_array_equal(network.predict(pixels, protocol), written)


def test_importing_jaxseg_is_light():
    heavy = "jax", "flax", "numpy", "absl", "tensorflow_datasets", "jaxseg.config"
    program = f"import sys, jaxseg; sys.exit([m for m in {heavy} if m in sys.modules] != [])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True)
    assert done.returncode == 0


def test_models_are_imported_from_their_room():
    from jaxseg import backbones, models

    for room in (models, backbones):
        assert len(room.__all__) >= 5
        for name in room.__all__:
            assert issubclass(getattr(room, name), nn.Module)
