"""What a model is evaluated with comes whole from a checkpoint or weight file, or is refused."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from jaxseg import config, predict
from jaxseg.data.labels import LabelSpec
from jaxseg.layers.conv_norm import ConvNorm
from jaxseg.state import TrainState, abstract_variables
from jaxseg.workdir import checkpoint, data_identity, restore

SPEC = LabelSpec(("sky", "road"), ((0, 0, 200), (90, 90, 90)), {0: 0, 1: 1, 255: 255})


class Tiny(nn.Module):
    """One convolution with batch norm."""

    num_classes: int = 2

    @nn.compact
    def __call__(self, images, *, train):
        return {"logits": ConvNorm(self.num_classes, 1, activate=False)(images, train=train)}


def _experiment(num_classes=2, **protocol):
    return config.Experiment(
        model=Tiny(num_classes),
        data=config.Data(name="camvid", data_dir="/absent"),
        eval=config.Eval(size=(9, 9), **protocol),
    )


def _filled(value):
    shapes = abstract_variables(_experiment().model)
    return jax.tree.map(lambda leaf: np.full(leaf.shape, value, leaf.dtype), shapes)


@pytest.fixture
def run_folder(tmp_path):
    """A run with an average: 1 everywhere, the average 2."""
    now = _filled(1.0)
    state = TrainState(
        step=jnp.int32(7),
        params=now["params"],
        batch_stats=now["batch_stats"],
        opt_state={},
        ema=_filled(2.0),
    )
    with checkpoint.Checkpoints(tmp_path / "run" / "checkpoints", 1) as checkpoints:
        checkpoints.save(7, state, {}, wait=True)
    (tmp_path / "run" / "labels.json").write_text(SPEC.to_json())
    return tmp_path / "run"


def test_the_average_is_taken_where_kept_and_asked_for(run_folder):
    for use_ema, value in ((True, 2.0), (False, 1.0)):
        variables, step = restore.restore(_experiment(use_ema=use_ema), run_folder, None)
        assert step == 7
        assert sorted(variables) == ["batch_stats", "params"]
        kernel = variables["params"]["ConvNorm_0"]["conv"]["kernel"]
        np.testing.assert_array_equal(kernel, np.full((1, 1, 3, 2), value))


def test_a_checkpoint_of_another_model_is_refused_with_the_differences(run_folder):
    with pytest.raises(ValueError, match=r"step 7 of .*run does not fit the config") as error:
        restore.restore(_experiment(num_classes=5), run_folder, None)
    assert "[1, 1, 3, 5]" in str(error.value)


def test_neither_folder_nor_file_is_one_line(tmp_path):
    with pytest.raises(ValueError, match="neither a run folder"):
        restore.restore(_experiment(), None, None)
    with pytest.raises(FileNotFoundError, match="gone"):
        restore.restore(_experiment(), None, str(tmp_path / "gone.pth"))
    safetensors.numpy.save_file({"w": np.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other\.safetensors: no name table fits"):
        restore.restore(_experiment(), None, str(tmp_path / "other.safetensors"))


def test_the_mode_predicts_with_the_run_folder_alone(run_folder, tmp_path, capsys):
    image = np.random.default_rng(0).integers(0, 256, (8, 7, 3), np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(image).save(tmp_path / "in" / "a.png")
    status = predict.main(_experiment(), run_folder, [tmp_path / "in"], tmp_path / "out")
    assert status == 0
    label = Image.open(tmp_path / "out" / "labels" / "a.png")
    assert label.size == (7, 8)
    assert label.getpalette()[:6] == [0, 0, 200, 90, 90, 90]
    (tmp_path / "in" / "b.png").write_bytes(b"broken")
    assert predict.main(_experiment(), run_folder, [tmp_path / "in"], tmp_path / "out") == 1
    assert "b.png" in capsys.readouterr().err


def test_a_wrong_input_is_said_before_the_weights_are_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such file or folder"):
        predict.main(_experiment(), tmp_path / "no-run", [tmp_path / "nowhere"], tmp_path / "out")


def test_classes_of_a_published_set_need_no_preparation(run_folder, tmp_path):
    assert data_identity.labels_of(_experiment(), run_folder) == SPEC
    assert data_identity.labels_of(_experiment(), tmp_path).names[0] == "sky"
    assert data_identity.labels_of(_experiment(), None).num_classes == 11


def test_classes_that_nothing_names_ask_for_preparation(tmp_path):
    experiment = _experiment()
    experiment.data.name = "folder/mine"
    with pytest.raises(
        FileNotFoundError, match=r"folder/mine is not prepared.*jaxseg\.data\.prepare"
    ):
        data_identity.labels_of(experiment, tmp_path)
