"""The input of programs that study a CRF: a network's log-probabilities for some images."""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

import cv2
import jax
import numpy as np

from jaxseg import config, whole_file
from jaxseg.data import loader
from jaxseg.data.padding import pad_image
from jaxseg.inference import infer
from jaxseg.inference.predictor import framing_of
from jaxseg.types import Variables

_STEP = 128  # frames are multiples of this, so that few programs are compiled


@dataclasses.dataclass(frozen=True)
class Unary:
    """An image, its ground truth and the network's output."""

    name: str
    image: np.ndarray  # uint8 [H, W, 3]
    label: np.ndarray  # uint8 [H, W]
    log_probabilities: np.ndarray  # float32 [H, W, K]

    def framed(self) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
        """Log-probabilities and image, padded to a frame of a common size, and their own size."""
        height, width = self.label.shape
        down, right = -height % _STEP, -width % _STEP
        pads = ((0, down), (0, right), (0, 0))
        return np.pad(self.log_probabilities, pads), np.pad(self.image, pads), (height, width)


def chosen(source: loader.Source, count: int) -> list[int]:
    """The given number of images, spread evenly over a split; all of them if it has fewer."""
    count = min(count, len(source))
    return [i * len(source) // count for i in range(count)]


def most_different(different: np.ndarray, side: int) -> tuple[slice, slice]:
    """The window of a bool map [H, W] with the most true pixels."""
    height, width = (min(side, n) for n in different.shape)
    sums = cv2.integral(different.astype(np.uint8))
    counts = sums[height:, width:] - sums[:-height, width:]
    counts = counts - (sums[height:, :-width] - sums[:-height, :-width])
    y, x = np.unravel_index(counts.argmax(), counts.shape)
    return slice(int(y), int(y) + height), slice(int(x), int(x) + width)


class Unaries:
    """Unaries of some images, computed on demand and cached as float16 in a folder."""

    def __init__(
        self,
        experiment: config.Experiment,
        variables: Variables,
        source: loader.Source,
        folder: pathlib.Path | None = None,
    ) -> None:
        """Uses the experiment's protocol without its CRF; use one folder per network."""
        self.source, self.folder = source, folder
        self._mean = experiment.data.normalisation.mean
        protocol = dataclasses.replace(experiment.eval, crf="")
        self._framing = framing_of(experiment)
        self._variables = jax.device_put(variables)
        self._probabilities = infer.make_probabilities(
            experiment.model, protocol, experiment.data.normalisation
        )

    def _compute(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        padded = pad_image(image, self._framing.of((height, width)), self._mean)
        size = np.array([[height, width]], np.int32)
        whole = np.asarray(self._probabilities(self._variables, padded[None], size))[0]
        probabilities = whole[:height, :width]
        return np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))

    def __call__(self, index: int) -> Unary:
        """The unary of the image at an index of the split."""
        example = self.source[index]
        file = None if self.folder is None else self.folder / f"{index:06d}.npy"
        if file is not None and file.is_file():
            found = np.load(file).astype(np.float32)
        else:
            found = self._compute(example["image"])
            if file is not None:
                with whole_file.writing(file, sync=False) as new:
                    np.save(new, found.astype(np.float16))
        return Unary(example["name"], example["image"], example["label"], found)

    def of(self, indices: Sequence[int]) -> Iterator[Unary]:
        """Yields the unaries one after the other."""
        return map(self, indices)
