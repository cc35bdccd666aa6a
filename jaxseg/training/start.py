"""What a run starts from: random values, another run, a converted file, or a weight file itself.

    --config.train.init_from=runs/other                a run of the same model, or a converted file
    --config.train.init_from=runs/fcn32s --config.train.init_partial=True      a related model
    --config.train.init_from=resnet50.pth              a weight file, as jaxseg.convert does

Nothing is ever taken in silence: where not the whole model is, lines say what was taken, what
starts anew and why, and what was left; RUN/init.json lists every leaf.
"""

import functools
import hashlib
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxseg import config
from jaxseg.data.labels import LabelSpec
from jaxseg.state import TrainState
from jaxseg.training.step import init_variables
from jaxseg.weights import adapt, load
from jaxseg.weights.match import Normalisation
from jaxseg.weights.origins import Origins
from jaxseg.weights.place import Wishes
from jaxseg.workdir import checkpoint, data_identity, files, lock, same_data
from jaxseg.workdir.log import write_json

REPORT = "converted.json"  # beside the checkpoint of a converted file
RGB = 3
_BLOCK = 1 << 20  # bytes read at once


def _model(experiment: config.Experiment, start: Any, channels: int = RGB) -> adapt.Model:
    """The experiment's model with its start, and a trace at other numbers of classes, channels."""
    height, width = experiment.data.crop_size

    def trace(classes: int, channels: int) -> dict[str, Any]:
        model = experiment.model.clone(num_classes=classes) if classes else experiment.model
        images = jnp.zeros((1, height, width, channels))
        shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), images, train=False))
        return {"params": shapes["params"], "batch_stats": shapes.get("batch_stats", {})}

    return adapt.Model(start, trace, getattr(experiment.model, "num_classes", 0), channels)


def random_start(experiment: config.Experiment, channels: int = RGB) -> dict[str, Any]:
    """{"params", "batch_stats"} as a run of the experiment starts with, as NumPy arrays."""

    def make() -> dict[str, Any]:
        _, variables = init_variables(experiment, channels)
        return {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}

    return jax.tree.map(np.asarray, jax.jit(make)())


def from_file(
    experiment: config.Experiment,
    path: pathlib.Path | str,
    start: Callable[[], Any],
    wishes: Wishes,
) -> tuple[dict[str, Any], Origins]:
    """The experiment's variables, from a weight file as far as it goes.

    Args:
      experiment: its model, and the pixels that it is given.
      path: of a weight file of a known kind.
      start: makes {"params", "batch_stats"} of the model, as arrays, once the file has been read;
        for what it does not hold.
      wishes: what is asked for beside the file.

    Returns:
      The variables as NumPy arrays, and where each leaf comes from.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it cannot be read, is of an unknown network, or does not fit; all differences are
        listed.
    """
    source = load.read(path)
    try:
        table = load.table_of(source)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    model = _model(experiment, start(), wishes.input_channels or RGB)
    pixels = Normalisation(experiment.data.mean, experiment.data.std)
    return adapt.fill(source, table, model, wishes, file=str(path), pixels=pixels)


def labels_of_head(experiment: config.Experiment, origins: Origins) -> LabelSpec | None:
    """The classes of a model that was filled from a file: those of the experiment's data.

    None where what scores classes starts anew, or the data's classes are not known or of another
    number.
    """
    model = _model(experiment, None)
    scoring = model.counts().by_class
    if not scoring or any(path in origins.fresh for path in scoring):
        return None
    try:
        labels = data_identity.labels_of_data(experiment.data)
    except (FileNotFoundError, ValueError):
        return None
    return labels if labels.num_classes == model.classes else None


def _whole(variables: Any, source: str) -> Origins:
    """The report of a start that is taken whole."""
    sizes = {path: int(np.prod(shape)) for path, (shape, _) in
             checkpoint.leaf_types(variables).items()}  # fmt: skip
    return Origins(source, sizes, taken={path: path for path in sizes})


def _from_run(
    experiment: config.Experiment, start: Any, expected: Any, labels: LabelSpec | None
) -> tuple[dict[str, Any], Origins]:
    """The variables of a run or of a converted file: the whole model, or what both have.

    A head of other classes is never taken: it is refused, or left aside where a part is wanted.
    """
    origin, partial = experiment.train.init_from, experiment.train.init_partial
    other_classes = ""
    lines: list[str] = []
    if labels is not None:
        other_classes, lines = same_data.hold_origin(pathlib.Path(origin), labels)
    found, step = checkpoint.restore_variables(origin)
    found = found["ema"] if experiment.eval.use_ema and "ema" in found else found
    found = {"params": found["params"], "batch_stats": found.get("batch_stats", {})}
    where = f"train.init_from={origin}, step {step},"
    if partial:
        model = _model(experiment, jax.tree.map(np.asarray, start))
        variables, origins = adapt.take_shared(
            found, model, file=where[:-1], other_classes=other_classes
        )
    else:
        checkpoint.refuse_differences(
            expected,
            found,
            where,
            "its model must be the same: set the model's fields as they are there; of a related "
            "model, --config.train.init_partial=True takes what both have",
        )
        if other_classes:
            raise ValueError(
                f"{where} was trained on other classes: {other_classes}; "
                "--config.train.init_partial=True takes all but the layers that score classes"
            )
        variables, origins = found, _whole(found, where[:-1])
    report = pathlib.Path(origin) / REPORT
    origins.notes += _converted_from(report)
    if not report.exists():  # a file of weights has no list of classes
        origins.notes += lines
    return variables, origins


def _converted_from(report: pathlib.Path) -> list[str]:
    """What a converted file says of its origin, or that this cannot be read; [] for a run."""
    try:
        summary: Any = files.read_object(report).get("summary")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        return [f"{report} cannot be read ({files.why(error)}); it is left out"]
    if not files.list_of(files.is_text)(summary):
        return [f"{report} is damaged; it is left out"]
    return ["it was converted from:", *summary]


def state(
    experiment: config.Experiment,
    init: Callable[[], TrainState],
    abstract: TrainState,
    workdir: pathlib.Path | None,
    labels: LabelSpec | None = None,
) -> TrainState:
    """The state before step 1: random, or with the variables that train.init_from names.

    Args:
      experiment: its train.init_from and train.init_partial say from what.
      init: makes the random state.
      abstract: the same as jax.ShapeDtypeStruct, with shardings.
      workdir: gets init.json; None: nothing is written or said.
      labels: the classes of the run, which those of another run are held against.

    Raises:
      FileNotFoundError: there is no such file, or no checkpoint there.
      ValueError: it cannot be read or does not fit the model.
    """
    state = init()
    origin = experiment.train.init_from
    if not origin:
        if experiment.train.init_partial:
            raise ValueError("train.init_partial=True takes a part of what train.init_from names")
        return state
    start = {"params": state.params, "batch_stats": state.batch_stats}
    expected = {"params": abstract.params, "batch_stats": abstract.batch_stats}
    if load.is_file(origin):
        on_host = functools.partial(jax.tree.map, np.asarray, start)
        found, origins = from_file(experiment, origin, on_host, Wishes())
    else:
        found, origins = _from_run(experiment, start, expected, labels)
    if workdir is not None:
        print("The run starts from", "\n".join(origins.summary()), file=sys.stderr)
        write_json(workdir / "init.json", origins.to_dict())
    place = abstract.step.sharding
    ema = jax.device_put(found, place) if state.ema is not None else None
    return state.replace(**jax.device_put(found, place), ema=ema)


def checksum(paths: list[pathlib.Path], advance: Callable[[int], Any]) -> str:
    """sha256 of the files' bytes, one after the other.

    Args:
      paths: of the files.
      advance: is told how many more bytes were read.
    """
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                advance(len(block))
    return digest.hexdigest()


def check_new(folder: pathlib.Path) -> None:
    """Refuses a folder that is there already, or has no place to be made in.

    Raises:
      ValueError: with the reason.
    """
    if folder.exists():
        raise ValueError(f"{folder} exists already: delete it or choose another --output")
    try:
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder.absolute().parent):
            pass
    except OSError as error:
        raise ValueError(
            f"{folder} cannot be written to: {error.strerror}; choose another --output"
        ) from None


def save(
    folder: pathlib.Path,
    experiment: config.Experiment,
    variables: dict[str, Any],
    report: dict[str, Any],
    labels: LabelSpec | None = None,
) -> None:
    """Writes a checkpoint that train.init_from takes: all of it is there, or nothing.

    It is made under another name beside the folder and renamed when complete; what a killed process
    left of that is removed by the next one. config.json lets it be evaluated like a run.

    Args:
      folder: is made; must not exist.
      experiment: for config.json.
      variables: {"params", "batch_stats"}.
      report: JSON values, for converted.json.
      labels: the classes, where the head's are known.

    Raises:
      ValueError: the folder exists, cannot be made, another process is making it, or the disk has
        too little room.
    """
    check_new(folder)
    _check_room(folder, variables)
    scratch = folder.with_name(f"{folder.name}.incomplete")
    with lock.lock(scratch):
        try:
            _empty(scratch)
            _write(scratch, experiment, variables, report)
            if labels is not None:
                data_identity.write_labels(scratch, labels)
            (scratch / ".lock").unlink()
            scratch.rename(folder)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise


def _check_room(folder: pathlib.Path, variables: dict[str, Any]) -> None:
    """Weights hardly compress; on a full disk tensorstore prints pages beside our own line."""
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(variables))
    free = shutil.disk_usage(folder.absolute().parent).free
    if free < needed:
        raise ValueError(
            f"{folder} needs {needed / 1e6:.1f} MB, {free / 1e6:.1f} MB are free there: make room, "
            "or choose another --output"
        )


def _empty(scratch: pathlib.Path) -> None:
    """Removes what a killed process left, so that none of it gets into the next checkpoint."""
    for path in scratch.iterdir():
        if path.name == ".lock":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _write(
    folder: pathlib.Path,
    experiment: config.Experiment,
    variables: dict[str, Any],
    report: dict[str, Any],
) -> None:
    params, batch_stats = variables["params"], variables["batch_stats"]
    saved = TrainState(jnp.zeros((), jnp.int32), params, batch_stats, opt_state={})
    with checkpoint.Checkpoints(folder / "checkpoints", 1) as checkpoints:
        checkpoints.save(0, saved, {}, wait=True)
    write_json(folder / "config.json", config.to_dict(experiment))
    write_json(folder / REPORT, report)
