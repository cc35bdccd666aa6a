"""All faults of an experiment come in one message, each with the flag that fixes it."""

import flax.linen as nn
import jax
import numpy as np
import pytest

from experiments.ablation.ablation import with_change
from jaxseg import config, train
from jaxseg.checks import experiment as checks
from jaxseg.data.labels import LabelSpec, voc_palette
from jaxseg.layers.compute import Compute
from jaxseg.layers.norm import Norm, NormLayer
from jaxseg.runtime.mesh import make_mesh
from jaxseg.training import drift, network_preflight, preflight
from jaxseg.training.step import init_state, make_optimizer, make_train_step
from tests.helpers.programs import tiny


def changed(experiment, **fields):
    """changed(e, optim__learning_rate=0.0)."""
    return with_change(
        experiment, {path.replace("__", "."): value for path, value in fields.items()}
    )


def of_one_class(source):
    source.labels = LabelSpec(("thing",), voc_palette(1), {0: 0, 1: 0, 2: 0, 255: 255})
    return source


def refused(experiment, data=None):
    with pytest.raises(ValueError, match=r".") as error:
        preflight.ready(experiment, data or tiny.sources())
    return str(error.value)


def test_every_fault_is_told_in_one_go_with_its_flag(tmp_path):
    """Of fields, of fields together, of the data, the devices, the protocol and the network."""
    experiment = changed(
        tiny.experiment(),
        data__normalisation__std=(0.229, 0.224, 0.225),
        data__normalisation__mean=(0.485, 0.456, 0.406),
        data__crop_size=(16,),
        data__augment__scale_range=(2.0, 0.5),
        data__duplicate=("rde",),
        loss__class_weights=(1.0,) * 11,
        loss__hardest=0.0,
        loss__coarse=1.0,
        optim__schedule="step",
        optim__decay_steps=(2, 2),
        optim__warmup_steps=9,
        optim__multipliers=(("decoder", 10.0), ("conv", -1.0)),
        train__accumulate=3,
        train__keep=0,
        eval__scales=(),
        eval__examples=7,
        model__num_classes=5,
    )
    with pytest.raises(ValueError, match="settings cannot be used") as error:
        train.fit(experiment, tmp_path / "run", data=tiny.sources())
    first, *lines = str(error.value).splitlines()
    assert first == f"{len(lines)} settings cannot be used:"
    expected = (
        "data.crop_size=(16,) must be 2 values, each a whole number: set --config.data.crop_size=",
        "loss.hardest=0.0 must be above 0 and at most 1: set --config.loss.hardest=1.0",
        "train.keep=0 must be at least 1: set --config.train.keep=3",
        "data.normalisation.mean=(0.485, 0.456, 0.406) is for pixels from 0 to 1, but pixels are "
        "0 to "
        "255 here: set --config.data.normalisation.mean=123.675,116.28,103.53",
        "data.normalisation.std=(0.229, 0.224, 0.225) is for pixels from 0 to 1, but pixels are 0 "
        "to "
        "255 here: set --config.data.normalisation.std=58.395,57.12,57.375",
        "data.augment.scale_range=(2.0, 0.5) must be the smallest and the largest scale: set "
        "--config.data.augment.scale_range=0.5,2.0",
        "optim.warmup_steps=9 must be at least 0 and below train.steps=6: set "
        "--config.optim.warmup_steps=0",
        "optim.decay_steps=2,2 must be strictly increasing",
        "optim.decay_steps=2,2 must be at least 9",
        "eval.scales=() must be positive numbers, at least one: set --config.eval.scales=1",
        "data.duplicate: squares has no class 'rde'; did you mean red",
        "loss.class_weights has 11 numbers, but squares has 3 classes: set "
        '--config.loss.class_weights="()"',
        "eval.examples=7: ",
        "a batch of 4 cannot be split over 1 device group(s) x 3 micro-batches",
        "the model predicts 5 classes, but squares has 3: set --config.model.num_classes=3",
        "loss.coarse=1.0 needs a model with coarse logits",
        "optim.multipliers: no parameter path matches 'decoder'",
        "optim.multipliers: the factor -1.0 of 'conv' would increase the loss",
    )
    assert [text for text in expected if not any(line.startswith(text) for line in lines)] == []
    assert len(lines) == len(expected) + 1  # the crop of 513 in place of 16 is void, and told too
    assert not (tmp_path / "run").exists()


def test_one_class_is_refused_before_the_first_step():
    data = tuple(map(of_one_class, tiny.sources()))
    message = refused(tiny.experiment(), data)
    assert "squares has one class, thing: the background must be a class too" in message
    assert "--classes=FILE" in message
    own = refused(changed(tiny.experiment(), model__num_classes=1))
    assert "model.num_classes=1 must be at least 2, since the background is a class too" in own
    with pytest.raises(ValueError, match="at least 2"):
        checks.check(changed(tiny.experiment(), model__num_classes=1))


def test_the_number_of_classes_can_be_left_to_the_data():
    experiment = changed(tiny.experiment(steps=1), model__num_classes=0)
    assert preflight.ready(experiment, tiny.sources()).experiment.model.num_classes == 3
    with pytest.raises(ValueError, match=r"does not read: set --config.model.num_classes=K"):
        checks.check(experiment)


@pytest.mark.parametrize(
    ("mean", "std", "refused"),
    [
        ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), ("mean=(0.5", "std=(0.5")),
        ((127.5, 127.5, 127.5), (0.5, 0.5, 0.5), ("std=(0.5",)),
        ((0.4, 0.4, 0.4), (58.0, 57.0, 57.0), ("mean=(0.4",)),
        ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), ()),  # raw pixels, as SegNet
        ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0), ()),
        ((122.7, 116.7, 104.0), (1.0, 1.0, 1.0), ()),  # Caffe's
        ((300.0, 0.0, 0.0), (1.0, 1.0, 1.0), ("mean=(300.0",)),
    ],
)
def test_mean_and_deviation_are_of_pixels_from_0_to_255(mean, std, refused):
    experiment = changed(
        tiny.experiment(), data__normalisation__mean=mean, data__normalisation__std=std
    )
    found, _ = checks.examine(experiment, "train")
    assert len(found) == len(refused)
    for line, start in zip(found, refused, strict=True):
        assert line.startswith(f"data.normalisation.{start}")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"data__augment__scale_range": (0.5, 1.1), "data__augment__scale_step": 0.25},
            "scale_step=0.25 does not",
        ),
        (
            {"data__augment__scale_range": (0.0, 1.0)},
            "data.augment.scale_range=(0.0, 1.0) must be at least",
        ),
        (
            {"data__augment__scale_range": (-1.0, 1.0)},
            "data.augment.scale_range=(-1.0, 1.0) must be at least",
        ),
        (
            {"data__augment__class_limit": 0.0},
            "data.augment.class_limit=0 cannot be satisfied by any crop",
        ),
        ({"data__augment__class_limit_draws": 10**6}, "must be at least 1 and below 1001"),
        ({"optim__schedule": "step", "optim__decay_steps": (4, 2)}, "must be strictly increasing"),
        ({"optim__schedule": "step", "optim__decay_steps": (2, 6)}, "and below train.steps=6"),
        (
            {"optim__schedule": "step", "optim__decay_steps": (2,), "optim__warmup_steps": 3},
            "at least 3, after the warm-up",
        ),
        ({"optim__decay_steps": (2,)}, "optim.decay_steps belongs to optim.schedule=step"),
        (
            {"optim__schedule": "step", "optim__decay_steps": (2,), "optim__decay_factor": 0.0},
            "optim.decay_factor=0 stops learning",
        ),
        ({"optim__learning_rate": 0.0}, "optim.learning_rate=0 does not change the network"),
        ({"optim__end_learning_rate": 1.0}, "so the rate would rise"),
        ({"optim__multipliers": (("conv", 2.0), ("conv", 2.0))}, "'conv' is given 2 times"),
        ({"optim__multipliers": (("", 0.0),)}, "every factor is 0, so nothing is learned"),
        ({"optim__warmup_steps": -1}, "optim.warmup_steps=-1 must be at least 0"),
        ({"optim__clip_norm": -1.0}, "optim.clip_norm=-1.0 must be at least 0"),
        ({"loss__class_weights": (0.0, 0.0, 0.0)}, "loss.class_weights are all 0"),
        ({"loss__cross_entropy": 0.0}, "the loss has no term"),
        ({"data__crop_size": (200, 200)}, "data.crop_size=(200, 200) is mostly void"),
        ({"eval__output_stride": 8}, "eval.output_stride=8: Tiny has no backbone"),
        ({"eval__sliding": True, "eval__scales": (4 / 3,)}, "scales of up to three digits"),
        ({"eval__crop_size": (8, 8), "eval__sliding": True, "eval__margin": 4}, "leaves no pixels"),
        ({"train__checkpoint_every": 0}, "train.checkpoint_every=0 must be at least 1"),
        ({"train__ema_decay": 1.0}, "train.ema_decay=1.0 must be at least 0 and below 1"),
    ],
)
def test_a_setting_without_meaning_is_refused_alone(fields, says):
    message = refused(changed(tiny.experiment(), **fields))
    assert says in message
    assert "\n" not in message
    assert "--config." in message or "optim.multipliers" in message or "eval.output" in message


def test_a_missing_set_is_told_with_the_rest():
    experiment = changed(
        tiny.experiment(), data__name="camvid", data__data_dir="/nowhere", train__keep=0
    )
    with pytest.raises(ValueError, match=r"3 settings|2 settings") as error:
        preflight.ready(experiment)
    assert "camvid is not prepared in /nowhere; run: python -m" in str(error.value)
    with pytest.raises(FileNotFoundError, match="is not prepared in /nowhere"):
        preflight.ready(changed(experiment, train__keep=3))


class Normed(nn.Module):
    """A backbone with a norm, and a classifier."""

    num_classes: int = 3
    norm: Norm = Norm()
    compute: Compute = Compute()

    @nn.compact
    def __call__(self, images, *, train):
        x = nn.Conv(4, (3, 3), name="conv")(images)
        x = NormLayer(self.norm, name="norm")(x, train=train)
        return {"logits": nn.Conv(self.num_classes, (1, 1), name="classifier")(x)}


def test_training_in_float16_is_refused_with_its_flag():
    message = refused(tiny.experiment(Normed(compute=Compute("float16"))))
    assert message.startswith("model.compute.dtype=float16 needs loss scaling")
    assert "--config.model.compute.dtype=bfloat16" in message


FROZEN = (("^(conv|norm)/", 0.0),)


def test_frozen_parameters_with_drifting_statistics_are_said_at_the_start():
    experiment = changed(tiny.experiment(Normed()), optim__multipliers=FROZEN)
    assert drift.updated(experiment) == ["norm"]
    (line,) = drift.notices(experiment)
    assert "freezes the parameters of 1 norm(s) (norm), but not their batch statistics" in line
    assert "--config.model.norm.kind=frozen freezes both" in line
    frozen = changed(tiny.experiment(Normed(norm=Norm("frozen"))), optim__multipliers=FROZEN)
    assert drift.updated(frozen) == []
    assert drift.notices(frozen) == []
    assert drift.notices(tiny.experiment(Normed())) == []
    some = changed(tiny.experiment(Normed()), optim__multipliers=(("^conv/", 0.0),))
    assert drift.notices(some) == []  # its norm still learns


def test_what_the_line_points_to_keeps_both_parameters_and_statistics():
    def moved(norm):
        experiment = changed(tiny.experiment(Normed(norm=Norm(norm))), optim__multipliers=FROZEN)
        optimizer, rate = make_optimizer(experiment)
        before = init_state(experiment, optimizer)
        one_step = jax.jit(
            make_train_step(experiment, optimizer, rate), compiler_options=tiny.QUICK
        )
        after, _ = one_step(before, tiny.batch())
        assert np.array_equal(after.params["norm"]["scale"], before.params["norm"]["scale"])
        return np.abs(np.asarray(after.batch_stats["norm"]["mean"])).max()

    assert moved("batch") > 0
    assert moved("frozen") == 0


def test_batch_norm_over_one_image_is_said_at_the_start():
    for fields in ({"data__batch_size": 1}, {"train__accumulate": 4}):
        (line,) = drift.notices(changed(tiny.experiment(Normed()), **fields))
        assert "holds one image, so 1 batch norm(s) use its own statistics" in line
        assert "--config.model.norm.kind=frozen" in line
    assert drift.notices(changed(tiny.experiment(Normed("frozen")), data__batch_size=2)) == []


def test_a_network_s_own_refusal_gets_the_flag_of_its_field():
    from jaxseg.backbones import resnet
    from jaxseg.models import deeplab_v3

    model = deeplab_v3.DeepLabV3(3, resnet.ResNet(depth=18, width=16, output_stride=7))
    experiment = tiny.experiment(model)
    (found,) = network_preflight.faults(experiment, 3)
    assert found.startswith("output_stride is 7: a ResNet with 0 extra blocks has 4, 8, 16, 32")
    assert found.endswith("set --config.model.backbone.output_stride=")
    right = model.clone(backbone=model.backbone.clone(output_stride=16))
    experiment = changed(tiny.experiment(right), eval__output_stride=2, data__crop_size=(8, 8))
    found = network_preflight.faults(experiment, 3)
    assert found[0].startswith("data.crop_size=(8, 8) is below the output stride of 16")
    assert found[1].startswith("eval.output_stride is 2: a ResNet with 0 extra blocks has 4, 8")
    assert len(found) == 2


def test_a_good_experiment_is_ready():
    ready = preflight.ready(tiny.experiment(), tiny.sources())
    assert ready.mesh.shape == make_mesh(1).shape
    assert isinstance(ready.experiment, config.Experiment)
