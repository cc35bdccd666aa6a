"""The work that all contenders of a benchmark do: known to each of their programs, NumPy alone."""

import dataclasses
import json
import sys

import numpy as np

NUM_CLASSES = 21
IGNORE = 255


@dataclasses.dataclass(frozen=True)
class Work:
    """One model, one batch, one kind of step."""

    model: str  # "v3": DeepLab v3 at output stride 16; "v3_plus"; "v3_stride8": torchvision's
    step: str  # "train" or "inference"
    batch: int = 2
    size: int = 256
    dtype: str = "float32"  # of the computation: "float32" or "bfloat16"
    variant: str = ""  # what a contender does differently: "plain", "channels_last", "compile", ...

    def argument(self) -> str:
        """As the one argument of a contender's program."""
        return json.dumps(dataclasses.asdict(self))


def from_arguments() -> Work:
    """The inverse of `Work.argument`, in the contender's program."""
    return Work(**json.loads(sys.argv[1]))


def batch_of(work: Work) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images [B, H, W, 3] and labels [B, H, W] with a tenth of the pixels void."""
    rng = np.random.default_rng(0)
    shape = work.batch, work.size, work.size
    images = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    labels = rng.integers(0, NUM_CLASSES, shape, dtype=np.uint8)
    labels[rng.random(shape) < 0.1] = IGNORE
    return images, labels
