"""Semantic segmentation: a class for each pixel.

A batch holds uint8 "image" [B, H, W, 3] and "label" [B, H, W], and float32 "weight" [B, H, W] if
the loss weights pixels. The network returns "logits" [B, H, W, K]; an evaluation sums one confusion
matrix.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import jax

from jaxseg import config, losses
from jaxseg.data import class_sampling, loader
from jaxseg.data.augment.transforms import Transform
from jaxseg.data.class_sampling import Plan
from jaxseg.data.labels import LabelSpec
from jaxseg.data.loader import Source, TrainIterator, open_split
from jaxseg.inference import image_files
from jaxseg.inference.image_files import Predictions
from jaxseg.inference.predictor import framing_of
from jaxseg.inspection import valid_taps
from jaxseg.pixels import normalise
from jaxseg.tasks.semantic_evaluation import evaluate, record
from jaxseg.tasks.semantic_faults import data_faults, network_faults, protocol_faults
from jaxseg.tasks.semantic_validation import validate
from jaxseg.tasks.task import Objective
from jaxseg.types import Array, Outputs, Variables
from jaxseg.workdir import data_identity

__all__ = [
    "data_faults",
    "evaluate",
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


def notices(experiment: config.Experiment, train: Source, test: Source) -> list[str]:
    """The kernel taps that see only padding in training or in evaluation."""
    protocol = experiment.eval
    whole = framing_of(experiment).of(test.largest)
    seen = protocol.crop_size if protocol.sliding else whole
    return valid_taps.unreached(experiment.model, experiment.data.crop_size, seen)


def plan(experiment: config.Experiment, train: Source) -> Plan:
    """Every example once per epoch, unless classes are duplicated or balanced."""
    data = experiment.data
    return class_sampling.make_plan(train, duplicate=data.duplicate, balance=data.balance)


def iterator(
    experiment: config.Experiment,
    train: Source,
    plan: Plan,
    process_index: int,
    process_count: int,
) -> TrainIterator:
    """Crops of images and labels; see `loader.train_iterator`."""
    data, loss = experiment.data, experiment.loss
    return loader.train_iterator(
        train,
        batch_size=data.batch_size,
        transform=Transform(
            data.crop_size,
            data.augment,
            data.normalisation.mean,
            boundary=loss.boundary,
            boundary_sigma=loss.boundary_sigma,
        ),
        seed=experiment.train.seed,
        threads=data.threads,
        prefetch=data.prefetch,
        plan=plan,
        process_index=process_index,
        process_count=process_count,
    )


def on_device(experiment: config.Experiment) -> tuple[str, ...]:
    """Image and label, and the weight of each pixel if the loss has one."""
    return ("image", "label", "weight") if experiment.loss.boundary else ("image", "label")


def objective(experiment: config.Experiment) -> Objective:
    """`losses.segmentation` of the network's outputs.

    The loss is divided by all valid pixels (or images) of the whole batch. Terms that are not sums
    over pixels (Dice, Lovasz, the hardest pixels, presence) are computed on each micro-batch and
    weighted by its number of pixels.
    """
    data = experiment.data

    def loss_of(
        params: Any,
        batch_stats: Any,
        batch: Mapping[str, Array],
        key: Array,
        whole: Mapping[str, Array],
    ) -> tuple[Array, tuple[dict[str, Array], Any]]:
        outputs, updated = experiment.model.apply(
            {"params": params, "batch_stats": batch_stats},
            normalise(batch["image"], data.normalisation),
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": key},
        )
        terms = losses.segmentation(
            cast(Outputs, outputs),
            batch["label"],
            experiment.loss,
            batch["weight"] if experiment.loss.boundary else None,
            whole["label"],
        )
        stats = updated.get("batch_stats", {})  # float32 in any compute dtype
        stats = jax.tree.map(lambda new, old: new.astype(old.dtype), stats, batch_stats)
        return terms["loss"], (terms, stats)

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
    """Label PNGs and overlays; see `inference.image_files`."""
    assert score is None
    done = image_files.predict_files(
        variables,
        experiment.model,
        labels,
        inputs,
        output,
        experiment.eval,
        experiment.data.normalisation,
        crop=experiment.data.crop_size,
        save_probabilities=probabilities,
    )
    data_identity.write_labels(output, labels)  # the meaning of the ids in the PNGs
    return done
