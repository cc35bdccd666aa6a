"""Instance segmentation: boxes, classes, scores and masks of objects.

A batch holds uint8 "image" [B, H, W, 3] on a canvas of data.crop_size, "size" int32 [B, 2] of the
image in it, and its objects: "boxes" [B, G, 4], "classes" [B, G], "valid" [B, G] and "masks" uint8
[B, G, H, ceil(W / 8)]. For a network that classifies pixels too (`models.panoptic_fpn`), there is
"semantic" uint8 [B, H, W] of `data.stuff`. The network is a detector (`models.mask_rcnn`); an
evaluation computes COCO's AP and AR, and panoptic quality.
"""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg import config
from jaxseg.checks.gathered import Gathered
from jaxseg.data import instance_facts, instance_loader
from jaxseg.data.augment import instance_settings, mirrored
from jaxseg.data.class_sampling import Plan
from jaxseg.data.labels import ANY_OBJECT, LabelSpec
from jaxseg.data.loader import Source, TrainIterator
from jaxseg.data.source import InstanceSource
from jaxseg.data.source import open_instances as open_split
from jaxseg.errors import counted
from jaxseg.evaluation import instances_as_classes
from jaxseg.inference import object_files, object_views
from jaxseg.inference.detect import Found, make_image_detector
from jaxseg.inference.image_files import Predictions
from jaxseg.losses.detection import detection
from jaxseg.losses.panoptic import panoptic
from jaxseg.pixels import normalise
from jaxseg.tasks.instance_evaluation import evaluate, record, transform_of
from jaxseg.tasks.instance_validation import validate
from jaxseg.tasks.stuff import faults as stuff_faults
from jaxseg.tasks.stuff import learns_stuff
from jaxseg.tasks.task import Objective
from jaxseg.types import Array, Objects, Outputs, Variables
from jaxseg.workdir import data_identity

__all__ = [
    "data_faults",
    "evaluate",
    "image_detector",
    "iterator",
    "network_faults",
    "notices",
    "objective",
    "on_device",
    "open_split",
    "plan",
    "predict_files",
    "protocol_faults",
    "record",
    "validate",
]


def data_faults(
    experiment: config.Experiment, train: Source | None, test: Source | None
) -> list[str]:
    """A set without objects or stuff, images beyond the canvas, or a canvas that is split."""
    data = experiment.data
    found = instance_settings.faults(data.instances, data.crop_size, "data.instances")
    if experiment.train.rows > 1:
        found.append(
            f"train.rows={experiment.train.rows}: the images of a detector cannot be split over "
            "devices: set --config.train.rows=1"
        )
    if any(split is not None and not isinstance(split, InstanceSource) for split in (train, test)):
        found.append(
            f"{data.name} holds a class for each pixel, not objects: choose a set of instances, "
            "or a model for semantic segmentation"
        )
    gathered = Gathered(found)
    for field, on in (
        ("data.instances.flip", data.instances.flip),
        ("eval.flip", experiment.eval.flip),
    ):
        if train is not None:
            gathered.of(mirrored.check, train.labels.names, field, on)
    return gathered.faults + stuff_faults(experiment, train or test)


def network_faults(
    experiment: config.Experiment, outputs: Outputs, variables: Variables, classes: int | None
) -> list[str]:
    """A number of classes that is not that of the data, and `protocol_faults`."""
    found = [] if classes is None else _class_faults(experiment, classes)
    return found + protocol_faults(experiment)


def protocol_faults(experiment: config.Experiment) -> list[str]:
    """Views that cannot be merged; classes of pixels without masks of classes."""
    gathered, protocol = Gathered(()), experiment.eval
    gathered.of(object_views.check, experiment.model, protocol.scales, protocol.flip)
    gathered.of(instances_as_classes.check, experiment.model, protocol.semantic)
    return gathered.faults


def _class_faults(experiment: config.Experiment, classes: int) -> list[str]:
    found = getattr(experiment.model, "num_classes", None)
    if found in (None, classes):
        return []
    return [
        f"the model predicts {found} classes, but {experiment.data.name} has {classes}: "
        f"set --config.model.num_classes={classes}"
    ]


def notices(experiment: config.Experiment, train: Source, test: Source) -> list[str]:
    """How many training images have more objects than a batch holds."""
    assert isinstance(train, InstanceSource)
    most = experiment.data.instances.objects
    counts = instance_facts.facts_of(train).objects
    crowded = int((counts > most).sum())
    if not crowded:
        return []
    lost = int(np.maximum(counts - most, 0).sum())
    return [
        f"{counted(crowded, 'training image')} of {len(train)} with more than {most} objects, of "
        f"which only the largest are learned ({lost} are left out): "
        f"--config.data.instances.objects={counts.max()} keeps all"
    ]


def plan(experiment: config.Experiment, train: Source) -> Plan:
    """Every image with an object once per epoch, landscape and portrait images separately."""
    assert isinstance(train, InstanceSource)
    return Plan(np.flatnonzero(instance_facts.facts_of(train).objects))


def iterator(
    experiment: config.Experiment,
    train: Source,
    plan: Plan,
    process_index: int,
    process_count: int,
) -> TrainIterator:
    """Images on their canvas with their objects; see `instance_loader.train_iterator`."""
    assert isinstance(train, InstanceSource)
    data = experiment.data
    return instance_loader.train_iterator(
        train,
        batch_size=data.batch_size,
        transform=transform_of(data),
        seed=experiment.train.seed,
        threads=data.threads,
        prefetch=data.prefetch,
        process_index=process_index,
        process_count=process_count,
        semantic=learns_stuff(experiment.model),
    )


def on_device(experiment: config.Experiment) -> tuple[str, ...]:
    """The image, its size, its objects and, where they are learned, the classes of its pixels."""
    pixels = ("semantic",) if learns_stuff(experiment.model) else ()
    return ("image", "size", *Objects._fields, *pixels)


def objective(experiment: config.Experiment) -> Objective:
    """`losses.detection` of the detector's outputs, or `losses.panoptic`.

    The terms are means over sampled anchors and RoIs. Those of a micro-batch are weighted by its
    share of the images, so that with train.accumulate the sum is the mean over the micro-batches;
    it differs from the loss of the whole batch where micro-batches have different numbers of
    samples.
    """
    data, settings = experiment.data, experiment.detection
    with_stuff = learns_stuff(experiment.model)

    def loss_of(
        params: Any,
        batch_stats: Any,
        batch: Mapping[str, Array],
        key: Array,
        whole: Mapping[str, Array],
    ) -> tuple[Array, tuple[dict[str, Array], Any]]:
        objects = Objects(**{name: batch[name] for name in Objects._fields})
        dropout, sampling = jax.random.split(key)
        outputs, updated = experiment.model.apply(
            {"params": params, "batch_stats": batch_stats},
            normalise(batch["image"], data.normalisation),
            sizes=batch["size"],
            objects=objects,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": dropout, "sampling": sampling},
        )
        if with_stuff:
            terms = panoptic(outputs, objects, batch["semantic"], settings)
        else:
            terms = detection(outputs, objects, settings)
        share = len(batch["image"]) / len(whole["image"])
        if share != 1:
            terms = {name: share * term for name, term in terms.items()}
        stats = updated.get("batch_stats", {})  # float32 in any compute dtype
        stats = jax.tree.map(lambda new, old: new.astype(old.dtype), stats, batch_stats)
        return jnp.asarray(terms["loss"]), (terms, stats)

    return loss_of


def predict_files(
    experiment: config.Experiment,
    variables: Variables,
    labels: LabelSpec,
    inputs: Sequence[str | pathlib.Path],
    output: pathlib.Path,
    *,
    probabilities: bool,
    score: float | None,
) -> Predictions:
    """COCO's JSON, maps of instances or segments, overlays; see `inference.object_files`."""
    assert not probabilities
    if found := _class_faults(experiment, labels.num_classes):
        raise ValueError(found[0])
    if getattr(experiment.model, "proposals", False):
        labels = ANY_OBJECT
    find = image_detector(experiment)
    done = object_files.predict_files(
        functools.partial(find, jax.device_put(variables)),
        labels,
        inputs,
        output,
        transform_of(experiment.data),
        score=object_files.SCORE if score is None else score,
        stuff_area=experiment.eval.stuff_area,
    )
    data_identity.write_labels(output, labels)
    return done


def image_detector(
    experiment: config.Experiment,
) -> Callable[[Variables, np.ndarray], Found]:
    """The function from variables and one image uint8 [H, W, 3] to what is found in it."""
    data, protocol = experiment.data, experiment.eval
    return make_image_detector(
        experiment.model,
        transform_of(data),
        data.normalisation,
        scales=protocol.scales,
        flip=protocol.flip,
    )
