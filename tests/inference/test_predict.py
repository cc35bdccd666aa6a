"""Prediction of files, with a model whose output is known: the strongest of red, green and blue."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxseg import config, predict
from jaxseg.data.labels import LabelSpec
from jaxseg.data.readers import walk
from jaxseg.inference import image_files, predictor

SPEC = LabelSpec(
    names=("red", "green", "blue"),
    palette=((128, 0, 0), (0, 128, 0), (0, 0, 128)),
    raw_to_train={0: 0, 1: 1, 2: 2, 255: 255},
)
MEAN = STD = (127.5, 127.5, 127.5)
PIXELS = config.Normalisation(MEAN, STD)


class Strongest(nn.Module):
    """Logits are the colours themselves."""

    gain: float = 10.0

    @nn.compact
    def __call__(self, images, *, train):
        gain = self.param("gain", nn.initializers.constant(self.gain), ())
        return {"logits": gain * images}


def _variables(gain=10.0):
    return {"params": {"gain": jnp.float32(gain)}, "batch_stats": {}}


def _run(inputs, output, **options):
    return image_files.predict_files(
        _variables(),
        Strongest(),
        SPEC,
        inputs,
        output,
        options.pop("protocol", config.Eval(size=(33, 33))),
        PIXELS,
        crop=(33, 33),
        progress=False,
        **options,
    )


def _image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.newest
def test_labels_overlays_and_probabilities_have_the_size_and_name_of_the_image(tmp_path):
    sizes = {"small": (20, 31), "sub/wide": (25, 200), "tall": (150, 33)}
    for name, size in sizes.items():
        path = tmp_path / "in" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_image(*size)).save(path)
    done = _run([tmp_path / "in"], tmp_path / "out", save_probabilities=True)
    assert sorted(done.written) == sorted(sizes)
    assert not done.refused
    for name, size in sizes.items():
        image = np.asarray(Image.open(tmp_path / "in" / f"{name}.png"))
        label = Image.open(tmp_path / "out" / "labels" / f"{name}.png")
        assert label.mode == "P"
        np.testing.assert_array_equal(np.asarray(label), image.argmax(-1))
        np.testing.assert_array_equal(
            np.asarray(label.convert("RGB")), np.asarray(SPEC.palette)[image.argmax(-1)]
        )
        overlay = Image.open(tmp_path / "out" / "overlays" / f"{name}.jpg")
        assert overlay.height > size[0]  # includes the legend
        saved = np.load(tmp_path / "out" / "probabilities" / f"{name}.npz")
        assert saved["probabilities"].shape == (*size, 3)
        assert saved["probabilities"].dtype == np.float16
        np.testing.assert_allclose(saved["probabilities"].sum(-1), 1, atol=2e-3)
        assert list(saved["names"]) == list(SPEC.names)


def test_labels_are_equal_with_and_without_probabilities_and_with_flip(tmp_path):
    Image.fromarray(_image(30, 50)).save(tmp_path / "a.png")
    for folder, options in {
        "plain": {},
        "both": {"save_probabilities": True},
        "flip": {"protocol": config.Eval(flip=True)},
    }.items():
        _run([tmp_path / "a.png"], tmp_path / folder, **options)
    labels = [
        np.asarray(Image.open(tmp_path / folder / "labels" / "a.png"))
        for folder in ("plain", "both", "flip")
    ]
    np.testing.assert_array_equal(labels[0], labels[1])
    np.testing.assert_array_equal(labels[0], labels[2])
    assert not (tmp_path / "plain" / "probabilities").exists()


def test_a_rotated_photo_is_predicted_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown rotated by 90 degrees clockwise
    stored = np.zeros((20, 30, 3), np.uint8)
    stored[:, :15, 0] = 255
    stored[:, 15:, 2] = 255
    Image.fromarray(stored).save(tmp_path / "a.jpg", exif=exif, quality=100)
    _run([tmp_path / "a.jpg"], tmp_path / "out")
    label = np.asarray(Image.open(tmp_path / "out" / "labels" / "a.png"))
    assert label.shape == (30, 20)
    assert (label[:14] == 0).all()
    assert (label[16:] == 2).all()


def test_broken_files_are_named_at_the_end_and_the_others_are_predicted(tmp_path, capsys):
    Image.fromarray(_image(20, 20)).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"no image at all")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "._a.png").touch()
    Image.fromarray(_image(20, 20)).save(tmp_path / "c.png")
    done = _run([tmp_path], tmp_path / "out")
    assert done.written == ("a", "c")
    assert [path for path, _ in done.refused] == [tmp_path / "b.jpg"]
    assert predict.report(done, tmp_path / "out") == 1
    said, errors = capsys.readouterr()
    assert "2 of 5 files predicted" in said
    assert f"left out: {tmp_path / '._a.png'} has a name that begins with a dot; " in said
    assert f"{tmp_path / 'notes.txt'} is not an image by its suffix" in said
    assert f"{tmp_path / 'b.jpg'}: not an image in a supported format" in errors
    assert predict.report(image_files.Predictions(("a",), ()), tmp_path) == 0
    lost = walk.LeftOut(tmp_path / "val", "is a link to x, which is missing", fault=True)
    assert predict.report(image_files.Predictions(("a",), (), {}, (lost,)), tmp_path) == 1


def test_files_of_the_same_name_are_both_written_and_reported(tmp_path, capsys):
    Image.fromarray(_image(20, 20)).save(tmp_path / "a.png")
    Image.fromarray(_image(24, 20)).save(tmp_path / "a.bmp")
    _run([tmp_path], tmp_path / "out")
    assert Image.open(tmp_path / "out" / "labels" / "a.png.png").height == 20
    assert Image.open(tmp_path / "out" / "labels" / "a.bmp.png").height == 24
    assert "another image has its name" in capsys.readouterr().out


def test_nonfinite_scores_stop_with_the_name_of_the_file(tmp_path):
    Image.fromarray(_image(20, 20)).save(tmp_path / "a.png")
    for save in (False, True):
        with pytest.raises(ValueError, match=r"a\.png: the model's scores are not finite"):
            image_files.predict_files(
                _variables(float("nan")),
                Strongest(),
                SPEC,
                [tmp_path],
                tmp_path / "out",
                config.Eval(),
                PIXELS,
                crop=(33, 33),
                save_probabilities=save,
                progress=False,
            )


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes."),
            "20 x 50 pixels do not fit into memory",
        ),
        (
            jax.errors.JaxRuntimeError("INTERNAL: CUDNN_STATUS_ALLOC_FAILED\nin conv.cc"),
            "20 x 50 pixels do not fit into memory (INTERNAL: CUDNN_STATUS_ALLOC_FAILED)",
        ),
        (MemoryError("Unable to allocate 32.0 TiB"), "20 x 50 pixels do not fit into memory"),
        (
            jax.errors.JaxRuntimeError("INTERNAL: no kernel image is available"),
            "the device fails on 20 x 50 pixels: INTERNAL: no kernel image is available",
        ),
    ],
)
def test_an_image_that_does_not_fit_into_memory_does_not_stop_the_others(
    tmp_path, monkeypatch, error, reason
):
    Image.fromarray(_image(20, 20)).save(tmp_path / "a.png")
    Image.fromarray(_image(50, 20)).save(tmp_path / "b.png")

    def make(model, protocol, pixels, num_classes):
        def predictions(variables, batch, sizes):
            if batch.shape[1] > 33:
                raise error
            return np.zeros(batch.shape[:3], np.int32), np.ones(1, bool)

        return predictions

    monkeypatch.setattr(predictor, "make_predictions", make)
    done = _run([tmp_path], tmp_path / "out")
    assert done.written == ("a",)
    assert done.refused[0][0] == tmp_path / "b.png"
    assert reason in done.refused[0][1]


@pytest.mark.parametrize("save", [False, True])
def test_a_model_of_other_classes_is_refused(tmp_path, save):
    Image.fromarray(_image(20, 20)).save(tmp_path / "a.png")
    spec = LabelSpec(("one", "two"), ((0, 0, 0), (1, 1, 1)), {0: 0, 1: 1})
    with pytest.raises(ValueError, match="predicts 3 classes"):
        image_files.predict_files(
            _variables(),
            Strongest(),
            spec,
            [tmp_path],
            tmp_path / "out",
            config.Eval(),
            PIXELS,
            crop=(33, 33),
            save_probabilities=save,
            progress=False,
        )
