"""K. Situations from bug reports of other segmentation libraries: evaluation, training, resuming.

They do not occur in A to J. `others` covers losses and metrics, `others_data` files.
"""

import contextlib
import io
import json
import pathlib
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.robustness.field_reports.situation import (
    Seen,
    Situation,
    check,
    clear_message,
    refusal,
    right,
)
from jaxseg import config, train
from jaxseg.data.labels import LabelSpec, voc_palette
from jaxseg.evaluation import split
from jaxseg.evaluation.record import Evaluation
from jaxseg.state import TrainState
from jaxseg.training import optim
from jaxseg.types import IGNORE


class _Squares:
    """Seven images of 8 x 8 in three classes."""

    labels = LabelSpec(("ground", "left_arm", "right_arm"), voc_palette(3), {0: 0, 1: 1, 2: 2})
    largest = (8, 8)

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> dict:
        rng = np.random.default_rng(index)
        label = rng.integers(0, 3, (8, 8)).astype(np.uint8)
        image = np.repeat(100 * label[..., None], 3, axis=-1)
        return {"image": image, "label": label, "name": f"{index}"}


class _Reader(nn.Module):
    """Predicts the class from the grey level."""

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        nn.Dropout(0.1, deterministic=not train)  # only in training
        levels = self.param("levels", lambda _: jnp.arange(3.0))
        return {"logits": -((images[..., :1] - levels) ** 2)}


_PIXELS = config.Normalisation((0.0,) * 3, (100.0,) * 3)


def _evaluated(batch_size: int, **fields: object) -> Evaluation:
    protocol = config.Eval(batch_size=batch_size, **fields)  # type: ignore[arg-type]
    variables = {"params": {"levels": jnp.arange(3.0)}}
    return split.evaluate(
        _Reader(),
        variables,
        _Squares(),  # type: ignore[arg-type]
        protocol=protocol,
        normalisation=_PIXELS,
        crop=(8, 8),
        threads=0,
        progress=False,
    )


def _last_batch(_: pathlib.Path) -> Seen:
    """Seven images in batches of 3: none is dropped, none counts twice."""
    found = _evaluated(3)
    check(len(found.images) == 7, f"{len(found.images)} of 7 images")
    return right(found.confusion.sum() == 7 * 64, "7 images and 448 pixels, by batches of 3")


def _small_image(_: pathlib.Path) -> Seen:
    """A window of 16 over images of 8: they are padded, and every pixel is right."""
    found = _evaluated(2, sliding=True, crop_size=(16, 16)).confusion
    check(found.sum() == 7 * 64, f"{found.sum()} of 448 pixels")
    return right(np.trace(found) == 448, "windows larger than the images: 448 of 448 pixels right")


def _company(_: pathlib.Path) -> Seen:
    one, four = _evaluated(1).confusion, _evaluated(4).confusion
    return right((one == four).all(), "the same counts by batches of 1 and of 4")


def _left_and_right(_: pathlib.Path) -> Seen:
    return refusal(lambda: _evaluated(2, flip=True), "left_arm", "right_arm", "eval.flip=False")


def _poly_beyond_the_end(_: pathlib.Path) -> Seen:
    """(1 - step / steps) ** 0.9 is complex, or NaN, beyond the last step."""
    rate = optim.schedule(config.Optim(learning_rate=0.1, schedule="poly"), 10)
    found = [float(rate(step)) for step in (0, 9, 10, 11, 50)]
    fine = found[0] > found[1] > 0 and found[2:] == [0.0] * 3
    return right(fine, f"rates at steps 0, 9, 10, 11, 50: {', '.join(f'{r:.3g}' for r in found)}")


class _Void(_Squares):
    def __getitem__(self, index: int) -> dict:
        example = super().__getitem__(index)
        return example | {"label": np.full_like(example["label"], IGNORE)}


def _nothing_to_learn(folder: pathlib.Path) -> Seen:
    """Masks with only void: a loss of 0 from the first step on is not a success."""
    said = io.StringIO()
    _fit(folder, (), _Void(), said)
    lines = [line for line in said.getvalue().splitlines() if "gradient" in line]
    check(lines, "not a word")
    return clear_message(lines[0], "exactly 0", "void", "jaxseg.data.doctor")


def _fit(
    folder: pathlib.Path, stops: tuple[int, ...], source: _Squares, said: io.StringIO
) -> TrainState:
    """A tiny run of 4 steps, stopped at each of `stops` before; `said` receives its lines."""
    state = None
    for last in (*stops, 4):
        experiment = config.Experiment(
            model=_Reader(),
            data=config.Data(
                name="squares",
                batch_size=2,
                crop_size=(8, 8),
                augment=config.Augment(scale_range=(1.0, 1.0), flip=False),
                normalisation=_PIXELS,
                threads=0,
            ),
            optim=config.Optim(learning_rate=0.1, schedule="step", decay_steps=(1,)),
            train=config.Train(
                steps=last, log_every=1, checkpoint_every=1, eval_every=0, ema_decay=0.5, pictures=0
            ),
            eval=config.Eval(batch_size=4),
        )
        with contextlib.redirect_stderr(said):
            state = train.fit(experiment, folder, data=(source, source))  # type: ignore[arg-type]
    assert state is not None
    return state


def _resumed(told: Callable[[TrainState, list[dict]], object], text: str) -> Callable:
    """Whether the values of a run are the same with and without a stop after step 2."""

    def run(folder: pathlib.Path) -> Seen:
        found = []
        for name, stops in (("straight", ()), ("stopped", (2,))):
            state = _fit(folder / name, stops, _Squares(), io.StringIO())
            lines = (folder / name / "metrics.jsonl").read_text().splitlines()
            found.append(told(state, [json.loads(line) for line in lines]))
        return right(found[0] == found[1], f"{text}: {found[0]}")

    return run


def _rates(_: TrainState, lines: list[dict]) -> object:
    return [round(x["learning_rate"], 6) for x in lines if x["kind"] == "train"]


def _steps(_: TrainState, lines: list[dict]) -> object:
    return [x["step"] for x in lines if x["kind"] == "train"]


def _average(state: TrainState, _: list[dict]) -> object:
    both = [state.ema["params"]["levels"], state.params["levels"]]
    return [np.asarray(x).tolist() for x in both]


_TEST = (
    "tests/experiments/test_field_reports_others.py"
    "::test_each_ends_in_a_right_value_or_a_clear_line"
)
_MADE: tuple[tuple[str, str, Callable[[pathlib.Path], Seen]], ...] = (
    ("images that do not fill the last batch of an evaluation", "google/flax#263", _last_batch),
    ("windows larger than the image", "open-mmlab/mmsegmentation#389", _small_image),
    ("mIoU that depends on the batch size", "pytorch/vision#7644", _company),
    (
        "images of which no pixel is valid",
        "GeorgeSeif/Semantic-Segmentation-Suite#175",
        _nothing_to_learn,
    ),
    ("flips of left and right classes", "huggingface/datasets#8522", _left_and_right),
    ("poly schedule beyond its last step", "VainF/DeepLabV3Plus-Pytorch#59", _poly_beyond_the_end),
    (
        "learning rate after a resume",
        "ultralytics/yolov5#292",
        _resumed(_rates, "rates with and without a stop after step 2"),
    ),
    (
        "average and weights after a resume",
        "Megvii-BaseDetection/YOLOX#1318",
        _resumed(_average, "average and weights to the last bit"),
    ),
    (
        "steps logged twice after a resume",
        "catalyst-team/catalyst#970",
        _resumed(_steps, "steps in the log"),
    ),
)
_BEFORE = {
    "images of which no pixel is valid": "silent: loss 0 to the end, exit 0",
    "flips of left and right classes": "wrong, silently: mirrored labels were kept",
}
SITUATIONS = tuple(
    Situation("K", name, _BEFORE.get(name, "right"), f"{_TEST}[{name}]", run, source)
    for name, source, run in _MADE
)
