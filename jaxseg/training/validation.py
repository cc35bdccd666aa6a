"""Evaluation during training: numbers for the log, the collapse alarm, pictures."""

import jax
from jax.sharding import Mesh

from jaxseg import config, evaluate
from jaxseg.data import loader
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
    """One evaluation into the log, the alarm if the predictions have collapsed, and pictures."""
    data, protocol, names = experiment.data, experiment.eval, source.labels.names
    result = evaluate.evaluate(
        experiment.model,
        variables(state, use_ema=protocol.use_ema),
        source,
        protocol=protocol,
        mean=data.mean,
        std=data.std,
        crop=data.crop_size,
        threads=data.threads,
        mesh=mesh,
    )
    summary = summarize(result.confusion)
    means = {name: getattr(summary, name) for name in
             ("miou", "pixel_accuracy", "mean_accuracy", "fwiou")}  # fmt: skip
    per_class = dict(zip(names, summary.iou.tolist(), strict=True))
    absent = [names[c] for c in summary.absent]
    values = means | {"iou": per_class, "absent": absent, "seconds": round(result.seconds, 3)}
    line = ", ".join(f"{name} {value:.4f}" for name, value in means.items())
    progress.say(f"step {step}: {line}" + f"; not in the truth: {', '.join(absent)}" * bool(absent))
    shares = result.confusion.sum(axis=0) / max(result.confusion.sum(), 1)
    top = int(shares.argmax())
    if shares[top] > COLLAPSED:
        values["collapsed"] = names[top]
        truth = result.confusion[top].sum() / result.confusion.sum()
        progress.say(
            f"ALARM at step {step}: {shares[top]:.1%} of all pixels are predicted as {names[top]} "
            f"({truth:.1%} of them are): the network may have collapsed"
        )
    writer.write("eval", step, values)
    if processes.is_main():
        _draw(experiment, state, step, source, writer)


def _draw(
    experiment: config.Experiment,
    state: TrainState,
    step: int,
    source: loader.Source,
    writer: log.Writer,
) -> None:
    """The first images of the split beside truth and prediction, for TensorBoard."""
    data, protocol, labels = experiment.data, experiment.eval, source.labels
    # On the host, because the other processes take no part in this.
    held = jax.device_get(variables(state, use_ema=protocol.use_ema))
    predict = make_predictor(
        experiment.model, labels, protocol, data.mean, data.std, framing_of(experiment)
    )
    for i in range(min(experiment.train.pictures, len(source))):
        example = source[i]
        prediction, _ = predict(held, example["image"])
        parts = [example["image"], labels.colour(example["label"]), labels.colour(prediction)]
        picture = overlay.strip(parts, [example["name"], "truth", "prediction"])
        writer.picture(step, f"eval/{i}", picture)
