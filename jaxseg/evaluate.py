"""Evaluation: a split and a protocol in, one confusion matrix and a number for each image out.

    python -m jaxseg.main --mode=evaluate --workdir=runs/NAME --config.eval.output_stride=8

writes eval/TAG.json, eval/TAG.npz (the counts of each image: jaxseg.workdir.per_image) and
eval/TAG/{best,worst}_N_NAME.png into the run folder; TAG names the split and the protocol. Scores
of a whole set are never held: see jaxseg.inference.views for the bound, which is that of one batch.
Only counts [B, K, K] come back from the device.
"""

import collections
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxseg import config, whole_file
from jaxseg.data import frames, loader
from jaxseg.data.augment import mirrored
from jaxseg.data.frames import Group
from jaxseg.evaluation import boundary_suite, pictures
from jaxseg.evaluation import record as results
from jaxseg.evaluation.accumulate import Calibration, Tally, count
from jaxseg.evaluation.judged import PixelLoss, judge_scores, make_judge
from jaxseg.evaluation.record import Evaluation
from jaxseg.inference.infer import (
    Color,
    at_output_stride,
    check_protocol,
    classes_of_scores,
    make_predictions,
    make_probabilities,
)
from jaxseg.percent import percent
from jaxseg.progress import Progress
from jaxseg.runtime import processes
from jaxseg.runtime.mesh import check_split, make_mesh, put_batch, replicated
from jaxseg.types import Array, Variables
from jaxseg.workdir import data_identity, log, per_image, restore, same_data, same_start
from jaxseg.workdir.environment import environment

__all__ = ["Evaluation", "at_output_stride", "evaluate", "make_probabilities", "run"]

_AHEAD = 2  # batches given to the device before the oldest one's counts are waited for


def _put(batch: Mapping[str, np.ndarray], mesh: Mesh | None) -> dict[str, Array]:
    """image [B, H, W, 3] and label [B, H, W] uint8, index [B] and size [B, 2] int32."""
    maps = {name: np.asarray(batch[name]) for name in ("image", "label")}
    numbers = {
        "index": np.asarray(batch["index"], np.int32),
        "size": np.stack([batch["height"], batch["width"]], axis=-1).astype(np.int32),
    }
    if mesh is None:
        return jax.device_put(maps | numbers)
    rows = NamedSharding(mesh, PartitionSpec("data"))
    return put_batch(maps, mesh) | {
        name: jax.make_array_from_process_local_data(rows, values)
        for name, values in numbers.items()
    }


def evaluate(
    model: nn.Module,
    variables: Variables,
    source: loader.Source,
    *,
    protocol: config.Eval,
    mean: Color,
    std: Color,
    crop: tuple[int, int],
    threads: int = 8,
    mesh: Mesh | None = None,
    progress: bool = True,
    loss: config.Loss | None = None,
) -> Evaluation:
    """Predicts every image of a split and counts its valid pixels against the truth.

    Each image is padded to its own frame (`data.frames`), and those of one frame make batches. So
    the counts of an image do not depend on the other images of the split, on the batch size, on
    devices, on processes or on the filling up of a last batch; they are those of what `predict`
    writes. With several processes every one of them returns the whole result.

    Args:
      model: gives "logits" [B, H, W, K].
      variables: {"params", "batch_stats"}.
      source: the split; see `loader.open_split`.
      protocol: of the evaluation; its batch size is rounded up to what the mesh can share out.
      mean: of uint8 RGB, also the colour that images are filled up with.
      std: of uint8 RGB.
      crop: (height, width) of the crops that the model was trained on.
      threads: that read images, in this process.
      mesh: of `mesh.make_mesh`; None: this process does all of it, on one device.
      progress: show a bar with rate and remaining time.
      loss: whose cross-entropy, the mean over the valid pixels, is wanted as well.

    Raises:
      ValueError: scores that are not finite (the images are named), a class count that is not the
        data set's, a protocol without meaning, an empty split, a CRF on several processes.
    """
    started = time.monotonic()
    mirrored.check(source.labels.names, "eval.flip", protocol.flip)
    num_classes = source.labels.num_classes
    calibration = Calibration(mesh) if protocol.calibration else None
    judged = None if loss is None else PixelLoss.of(loss)
    predict = _predictor(model, protocol, mean, std, num_classes, calibration, judged)
    total = min(len(source), protocol.examples or len(source))
    if total == 0:
        raise ValueError("the split to evaluate holds no image")
    groups = frames.groups(
        source,
        total,
        frames.Framing(protocol.size, crop),
        batch_size=protocol.batch_size,
        multiple=mesh.shape["data"] if mesh else 1,
        threads=threads,
    )
    batches = _batches(source, groups, mean, threads, mesh)
    variables = jax.device_put(variables, replicated(mesh) if mesh else None)
    tally = Tally(num_classes)
    suite = boundary_suite.start(num_classes, hausdorff=protocol.hausdorff, mesh=mesh)
    pending: collections.deque[tuple[Array, Array, Array, Array | None]] = collections.deque()
    hidden = not progress or not processes.is_main()
    with Progress(total, "evaluate", hidden=hidden, leave=False) as bar:
        for batch in batches:
            put = _put(batch, mesh)
            labels, finite, losses = predict(variables, put)
            known = put["label"], labels, finite, put["index"], losses
            pending.append(count(*known, num_classes=num_classes, mesh=mesh))
            if protocol.boundary:
                suite.add(put["label"], labels, put["index"], put["size"])
            if len(pending) > _AHEAD:
                bar.advance(tally.add(*pending.popleft()))
            if tally.broken:
                break  # every process has read the same counts, so all stop here
        while pending:
            bar.advance(tally.add(*pending.popleft()))
    tally.refuse_broken(source)
    images, counts = tally.of_images(source)
    boundary = suite.to_json(source.labels.names) if protocol.boundary else None
    seconds = time.monotonic() - started
    numbers = calibration.numbers() if calibration else {}
    each_frame = {group.frame: len(group.indices) for group in groups}
    return Evaluation(
        *(tally.confusion, images, seconds, counts, boundary, numbers, each_frame),
        loss=tally.mean_loss(),
    )


def _predictor(
    model: nn.Module,
    protocol: config.Eval,
    mean: Color,
    std: Color,
    num_classes: int,
    calibration: Calibration | None,
    loss: PixelLoss | None,
) -> Callable[[Variables, Mapping[str, Array]], tuple[Array, Array, Array | None]]:
    """Ids, finiteness and losses of a batch of `_put`; probabilities are counted on the way."""
    if calibration is not None:
        probabilities = make_probabilities(model, protocol, mean, std)

        def counted(
            variables: Variables, put: Mapping[str, Array]
        ) -> tuple[Array, Array, Array | None]:
            scores = probabilities(variables, put["image"], put["size"])
            calibration.add(scores, put["label"])
            if loss is None:
                return *classes_of_scores(scores, num_classes), None
            return judge_scores(scores, put["label"], num_classes=num_classes, loss=loss)

        return counted
    if loss is not None:
        judge = make_judge(model, protocol, mean, std, num_classes, loss)
        return lambda variables, put: judge(variables, put["image"], put["size"], put["label"])
    predict = make_predictions(model, protocol, mean, std, num_classes)
    return lambda variables, put: (*predict(variables, put["image"], put["size"]), None)


def _batches(
    source: loader.Source,
    groups: Sequence[Group],
    mean: Color,
    threads: int,
    mesh: Mesh | None,
) -> Iterator[dict[str, np.ndarray]]:
    """What this process reads of each batch; all of it without a mesh."""
    if mesh:
        for group in groups:
            check_split(mesh, group.batch_size, group.frame[0])
    return loader.eval_batches(
        source,
        groups,
        pad_value=mean,
        process_index=jax.process_index() if mesh else 0,
        process_count=jax.process_count() if mesh else 1,
        threads=threads,
    )


def run(
    experiment: config.Experiment,
    workdir: pathlib.Path | str,
    *,
    weights: str | None = None,
    progress: bool = True,
    changed_data: bool = False,
) -> Evaluation:
    """`--mode=evaluate`: a run's newest checkpoint, or a weight file, on the evaluation split.

    Writes eval/TAG.json and pictures into the run folder and prints a table.

    Args:
      experiment: its `eval` is the protocol, which may differ from that of the run's own config.
      workdir: the run folder; with `weights` it may be new.
      weights: a file of trained weights, read instead of a checkpoint.
      progress: show a bar.
      changed_data: examples of the run's own set may be others than those it was trained beside.

    Raises:
      FileNotFoundError: no checkpoint, no weight file, no prepared data.
      ValueError: weights that do not fit the model, data that is not the run's; see also
        `evaluate`.
    """
    workdir, data, protocol = pathlib.Path(workdir), experiment.data, experiment.eval
    check_protocol(protocol)  # before any waiting
    same_start.refuse_odd(experiment, workdir, f"evaluate {weights or 'the run'}")
    source = loader.open_split(data.name, data.eval_split, data.data_dir)
    identified = same_data.hold_evaluation(
        workdir, source, data, weights=weights, changed_data=changed_data
    )
    variables, step = restore.restore(experiment, workdir, weights)
    evaluation = evaluate(
        experiment.model,
        variables,
        source,
        protocol=protocol,
        mean=data.mean,
        std=data.std,
        crop=data.crop_size,
        threads=data.threads,
        mesh=make_mesh(experiment.train.rows),
        progress=progress,
    )
    if not processes.is_main():
        return evaluation
    name = results.tag(data.eval_split, protocol)
    folder = whole_file.folder_in(workdir, "eval")
    whole_file.folder_in(workdir, "eval", name)
    whole_file.sweep(workdir)
    whole_file.sweep(folder, deep=True)
    if not (workdir / "config.json").exists():
        log.write_json(workdir / "config.json", config.to_dict(experiment))
        data_identity.write_labels(workdir, source.labels)
    record = identified | {
        "step": step,
        "runs": 1,
        "seed": None if weights else experiment.train.seed,
        "weights": weights,
        "data": data.name,
        "split": data.eval_split,
        "protocol": config.to_dict(protocol),
        "environment": environment(),
    }
    record |= results.to_json(evaluation, source.labels)
    if evaluation.per_image:
        per_image.write(folder / f"{name}.npz", evaluation.per_image)
    log.write_json(folder / f"{name}.json", record)
    pictures.write(folder / name, evaluation, experiment, variables, source)
    interval = record["metrics"]["miou_interval"]
    print(results.table(evaluation.confusion, source.labels.names, interval))
    for number, value in evaluation.probabilities.items():
        print(f"{results.PROBABILITIES[number][0]}: {percent(value)} %")
    print(frames.described(evaluation.frames))
    print(
        f"\n{weights or f'step {step} of one run'} on {len(evaluation.images)} images of "
        f"{data.name} {data.eval_split} in {evaluation.seconds:.1f} s; see {folder / name}.json, "
        f"and {folder / name} for the best and worst images"
    )
    return evaluation
