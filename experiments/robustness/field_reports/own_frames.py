"""B. An image's result does not depend on the other images, and evaluate equals predict."""

import pathlib
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from experiments.robustness.field_reports.situation import Seen, Situation, check, right
from jaxseg import config
from jaxseg.data.frames import Framing
from jaxseg.data.labels import LabelSpec, voc_palette
from jaxseg.evaluation import split
from jaxseg.inference import image_files, predictor
from jaxseg.types import Variables

_LABELS = LabelSpec(("ground", "red", "blue"), voc_palette(3), {0: 0, 1: 1, 2: 2})
_PIXELS = config.Normalisation()
_CROP = (33, 33)
_TEST = (
    "tests/evaluation/test_same_numbers.py"
    "::test_whole_images_have_the_same_counts_in_evaluate_and_predict"
)


class _Context(nn.Module):
    """Scores that depend on the mean of the frame, like those of ASPP's image pooling."""

    @nn.compact
    def __call__(self, images: jax.Array, *, train: bool) -> dict[str, jax.Array]:
        x = nn.relu(nn.Conv(8, (3, 3))(images))
        whole = jnp.broadcast_to(x.mean((1, 2), keepdims=True), x.shape)
        return {"logits": nn.Conv(3, (1, 1))(jnp.concatenate([x, 2 * whole], -1))}


class _Files:
    labels = _LABELS

    def __init__(self, examples: list[dict]) -> None:
        self.examples = examples
        height, width = np.max([each["label"].shape for each in examples], axis=0)
        self.largest = (int(height), int(width))

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict:
        return self.examples[index]


def _examples(sizes: list[tuple[int, int]]) -> list[dict]:
    rng = np.random.default_rng(0)
    return [
        {
            "image": rng.integers(0, 256, (*size, 3), np.uint8),
            "label": rng.integers(0, 3, size, np.uint8),
            "name": f"{i}",
        }
        for i, size in enumerate(sizes)
    ]


def _variables() -> Variables:
    return dict(_Context().init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)), train=False))


def _counts(examples: list[dict], protocol: config.Eval) -> np.ndarray:
    """The matrices of evaluate, int64 [N, 3, 3]."""
    found = split.evaluate(
        _Context(),
        _variables(),
        cast(Any, _Files(examples)),
        protocol=protocol,
        normalisation=_PIXELS,
        crop=_CROP,
        threads=0,
        progress=False,
    )
    assert found.per_image is not None
    return found.per_image.matrices()


_SIZES = [(33, 33), (20, 31), (34, 40), (90, 170)]


def _beside_a_larger_image(folder: pathlib.Path) -> Seen:
    examples = _examples(_SIZES)
    alone = _counts(examples[:2], config.Eval())
    beside = _counts(examples, config.Eval())[:2]
    return right((alone == beside).all(), "the same counts of each image, alone and in company")


def _predicted_files(folder: pathlib.Path) -> Seen:
    examples = _examples(_SIZES)
    for example in examples:
        Image.fromarray(example["image"]).save(folder / f"{example['name']}.png")
    image_files.predict_files(
        _variables(),
        _Context(),
        _LABELS,
        [folder],
        folder / "out",
        config.Eval(),
        _PIXELS,
        crop=_CROP,
        progress=False,
    )
    counts = np.zeros((len(examples), 3, 3), np.int64)
    for count, example in zip(counts, examples, strict=True):
        ids = np.asarray(Image.open(folder / "out" / "labels" / f"{example['name']}.png"))
        np.add.at(count, (example["label"], ids), 1)
    same = (counts == _counts(examples, config.Eval())).all()
    return right(same, "the counts of evaluate are those of predict's PNGs")


def _batch_sizes(folder: pathlib.Path) -> Seen:
    examples = _examples(_SIZES)
    found = [_counts(examples, config.Eval(batch_size=size)) for size in (1, 3, 8)]
    return right((found[0] == found[1]).all() and (found[0] == found[2]).all(), "batch 1 = 3 = 8")


def _larger_than_the_protocol(folder: pathlib.Path) -> Seen:
    examples = _examples([(30, 30), (90, 40)])
    counts = _counts(examples, config.Eval(size=(33, 33)))
    check(counts[1].sum() == 90 * 40, "pixels of the larger image are missing")
    return right(True, "it has a frame of its own, as in prediction")


def _out_of_memory(folder: pathlib.Path) -> Seen:
    """The messages of the allocators of XLA on CPU and GPU, cuDNN and NumPy."""
    words = (
        "INTERNAL: Failed to allocate 8589934592 bytes for new constant",
        "INTERNAL: CUDA_ERROR_OUT_OF_MEMORY: out of memory",
        "INTERNAL: cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "Ran out of memory in memory space hbm. Used 20.1G of 15.7G hbm.",
        "RESOURCE_EXHAUSTED: Out of memory allocating 3023656977248 bytes.",
    )
    for said in words:
        error = predictor._failure(jax.errors.JaxRuntimeError(said), 9000, 12000)
        check(isinstance(error, MemoryError), f"{said!r} is not taken for a lack of memory")
        check("12000 x 9000 pixels" in str(error) and "eval.sliding" in str(error), str(error))
    return right(True, "each is refused by name with the way out, and the others go on")


def _few_frames(folder: pathlib.Path) -> Seen:
    rng = np.random.default_rng(1)
    framing = Framing((0, 0), (513, 513))
    sizes = rng.integers(1, 1025, (1000, 2)).tolist()
    frames = {framing.of((height, width)) for height, width in sizes}
    return right(len(frames) <= 25, f"1000 sizes up to 1024 pixels have {len(frames)} frames")


SITUATIONS = (
    Situation(
        "B",
        "an image in a batch with a larger image",
        "mIoU 87.40 alone, 87.27 beside it",
        _TEST,
        _beside_a_larger_image,
    ),
    Situation(
        "B",
        "mIoU from the PNGs of predict",
        "89.40, where evaluate said 87.27",
        _TEST,
        _predicted_files,
    ),
    Situation("B", "another batch size, of images of several frames", "right", _TEST, _batch_sizes),
    Situation(
        "B",
        "an image that is larger than eval.size",
        "refused by evaluate, predicted by predict",
        "tests/evaluation/test_evaluate.py::"
        "test_an_image_larger_than_the_frame_of_the_protocol_has_its_own_frame",
        _larger_than_the_protocol,
    ),
    Situation(
        "B",
        "a thousand sizes",
        "a frame for the largest of the split",
        "tests/data/test_frames.py",
        _few_frames,
    ),
    Situation(
        "I",
        "one photo is too large, and XLA reports it in other words",
        "a traceback, and no other photo is predicted",
        "tests/inference/test_predict.py::"
        "test_an_image_that_does_not_fit_into_memory_does_not_stop_the_others",
        _out_of_memory,
    ),
)
