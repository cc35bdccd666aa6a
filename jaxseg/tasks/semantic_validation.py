"""Evaluation during training: numbers for the log, the collapse alarm, pictures."""

import math

import jax
from jax.sharding import Mesh

from jaxseg import config
from jaxseg.data import loader
from jaxseg.evaluation import split
from jaxseg.inference import overlay
from jaxseg.inference.predictor import framing_of, make_predictor
from jaxseg.metrics import summarize
from jaxseg.runtime import processes
from jaxseg.state import TrainState, variables
from jaxseg.workdir import log

COLLAPSED = 0.98  # share of the predictions in one class that raises the alarm


def validate(
    experiment: config.Experiment,
    state: TrainState,
    step: int,
    source: loader.Source,
    mesh: Mesh,
    writer: log.Writer,
    progress: log.Progress,
) -> None:
    """Evaluates and logs the result; raises the alarm on collapsed predictions; draws pictures."""
    data, protocol, names = experiment.data, experiment.eval, source.labels.names
    result = split.evaluate(
        experiment.model,
        variables(state, use_ema=protocol.use_ema),
        source,
        protocol=protocol,
        normalisation=data.normalisation,
        crop=data.crop_size,
        threads=data.threads,
        mesh=mesh,
        loss=experiment.loss,
    )
    summary = summarize(result.confusion)
    means = {
        name: getattr(summary, name)
        for name in ("miou", "pixel_accuracy", "mean_accuracy", "fwiou")
    }
    per_class = dict(zip(names, summary.iou.tolist(), strict=True))
    absent = [names[c] for c in summary.absent]
    pixels, images = int(result.confusion.sum()), len(result.images)
    reduction = experiment.loss.reduction
    loss = {"cross_entropy": _as_in_training(result.loss, pixels, images, reduction)}
    values = (
        means | loss | {"iou": per_class, "absent": absent, "seconds": round(result.seconds, 3)}
    )
    line = ", ".join(f"{name} {value:.4f}" for name, value in (means | loss).items())
    missing = f"; not in the truth: {', '.join(absent)}" if absent else ""
    progress.say(f"step {step}: {line}{missing}")
    shares = result.confusion.sum(axis=0) / max(result.confusion.sum(), 1)
    top = int(shares.argmax())
    if shares[top] > COLLAPSED:
        values["collapsed"] = names[top]
        truth = result.confusion[top].sum() / result.confusion.sum()
        progress.say(
            f"ALARM at step {step}: {shares[top]:.1%} of all pixels are predicted as {names[top]} "
            f"(in truth {truth:.1%}): the network may have collapsed"
        )
    writer.write("eval", step, values)
    if processes.is_main():
        _draw(experiment, state, step, source, writer)


def _as_in_training(mean: float | None, pixels: int, images: int, reduction: str) -> float:
    """The cross-entropy of the split with the divisor that training uses."""
    if mean is None:
        return math.nan
    return mean * pixels / images if reduction == "images" else mean


def _draw(
    experiment: config.Experiment,
    state: TrainState,
    step: int,
    source: loader.Source,
    writer: log.Writer,
) -> None:
    """Draws the first images of the split next to truth and prediction, for TensorBoard."""
    data, protocol, labels = experiment.data, experiment.eval, source.labels
    # On the host, because the other processes do not take part in this.
    held = jax.device_get(variables(state, use_ema=protocol.use_ema))
    predict = make_predictor(
        experiment.model,
        labels,
        protocol,
        data.normalisation,
        framing_of(experiment),
    )
    for i in range(min(experiment.train.pictures, len(source))):
        example = source[i]
        prediction, _ = predict(held, example["image"])
        truth = example["label"]
        picture = overlay.compared(example["image"], truth, prediction, labels, example["name"])
        writer.picture(step, f"eval/{i}", picture)
