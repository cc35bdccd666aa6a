"""A detector, and a set of drawn objects, small enough that a whole training run is a test."""

import functools
import json
import pathlib

import jax
import jax.numpy as jnp
from absl import flags
from absl.testing import flagsaver

from jaxseg import config
from jaxseg.backbones.resnet import ResNet
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.data.prepare import prepare
from jaxseg.data.source import open_instances
from jaxseg.layers.fpn import FPN
from jaxseg.layers.norm import Norm
from jaxseg.layers.roi_heads import ConvFCHead
from jaxseg.layers.rois import Sampling, Selection
from jaxseg.layers.rpn import RPN
from jaxseg.models.mask_rcnn import MaskHead, MaskRCNN
from jaxseg.models.panoptic_fpn import PanopticFPN
from jaxseg.state import TrainState
from jaxseg.workdir import checkpoint


def prepared(folder: pathlib.Path) -> pathlib.Path:
    """Drawn objects in images of 64 x 64: 6 to train on, 4 to evaluate."""
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        flags.FLAGS(["x", "--shapes_size=64", "--shapes_train=6", "--shapes_val=4"])
        prepare.prepare("shapes/instances", folder)
    return folder


def experiment(data_dir, **train) -> config.Experiment:
    """A detector of a few thousand parameters on a single pyramid of two levels."""
    norm = Norm("frozen")
    return config.Experiment(
        model=MaskRCNN(
            num_classes=5,
            backbone=ResNet(18, (1, 1), width=4, output_stride=8, norm=norm),
            levels=("stage1", "stage2"),
            neck=FPN(features=8),
            rpn=RPN(sizes=(8, 16, 32), before_nms=(20, 20), after_nms=(16, 8)),
            sampling=Sampling(count=8),
            box_head=ConvFCHead(fc_features=8),
            mask_head=MaskHead(layers=1, features=8, size=7),
            # Everything counts as found: an untrained network has low scores.
            selection=Selection(score=0.0, count=6, candidates=20),
        ),
        data=config.Data(
            name="shapes/instances",
            data_dir=str(data_dir),
            batch_size=2,
            crop_size=(64, 64),
            instances=InstanceAugment(objects=6, short_side=(64,), long_side=64),
            threads=2,
        ),
        optim=config.Optim(learning_rate=0.01, schedule="constant"),
        train=config.Train(
            **{"steps": 2, "log_every": 1, "eval_every": 0, "checkpoint_every": 1} | train,
            compile_cache="",
        ),
        eval=config.Eval(batch_size=2),
    )


def panoptic_experiment(data_dir, **train) -> config.Experiment:
    """`experiment` with a semantic branch, for things and the background."""
    built = experiment(data_dir, **train)
    whole = built.model
    built.model = PanopticFPN(
        whole.num_classes,
        2,
        whole.backbone,
        whole.levels,
        whole.neck,
        whole.rpn,
        whole.sampling,
        box_head=whole.box_head,
        mask_head=whole.mask_head,
        selection=whole.selection,
        head_features=8,
        norm=Norm("group", groups=4),
    )
    built.eval.stuff_area = 64
    return built


@functools.cache
def variables():
    """Random variables of `experiment`'s network, which find several objects in any image.

    Scores and masks are made more distinct than those of an untrained network.
    """
    model = experiment("").model
    made = jax.jit(functools.partial(model.init, train=False))(
        jax.random.key(0), jnp.zeros((1, 64, 64, 3))
    )
    for *path, factor in (("predictor", "classes", 30), ("mask_head", "masks", 300)):
        leaf = functools.reduce(dict.__getitem__, path, made["params"])
        leaf["kernel"] *= factor
    return {"params": made["params"], "batch_stats": made.get("batch_stats", {})}


def run_folder(folder: pathlib.Path, data_dir: pathlib.Path) -> pathlib.Path:
    """A run folder with `variables` as the checkpoint of step 7."""
    state = TrainState(step=jnp.int32(7), **variables(), opt_state={}, ema=None)
    with checkpoint.Checkpoints(folder / "checkpoints", 3) as checkpoints:
        checkpoints.save(7, state, {}, wait=True)
    (folder / "config.json").write_text(json.dumps(config.to_dict(experiment(data_dir))))
    source = open_instances("shapes/instances", "val", data_dir)
    (folder / "labels.json").write_text(source.labels.to_json())
    return folder
