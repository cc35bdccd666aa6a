"""The work that all contenders of a benchmark do; imports only NumPy."""

import dataclasses
import json
import sys

import numpy as np

NUM_CLASSES = 21
IGNORE = 255
ATROUS_RATES = (6, 12, 18)  # at output stride 16
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 1e-3, 0.9, 1e-4


@dataclasses.dataclass(frozen=True)
class Work:
    """One model, one batch, one kind of step."""

    model: str  # of MODELS
    step: str  # "train" or "inference"
    batch: int = 2
    size: int = 256
    dtype: str = "float32"  # of the computation: "float32" or "bfloat16"
    variant: str = ""  # the contender's variant: "plain", "channels_last compile", ...
    weights: str = ""  # a .pth of initial weights, written by the first torch contender

    @property
    def depth(self) -> int:
        """The depth of the ResNet."""
        return 101 if self.model.endswith("_101") else 50

    def argument(self) -> str:
        """The work as the single argument of a contender's program."""
        return json.dumps(dataclasses.asdict(self))


MODELS = (
    *("v3", "v3_101", "v3_plus", "v3_plus_xception", "unet"),  # smp's
    *("v3_torchvision", "v3_stride8"),  # torchvision's at output stride 16, and at 8 as published
    *("segnet", "pspnet"),  # `torch_twins.py`
)


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


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean over the pixels that are not void; logits [B, H, W, K], labels [B, H, W]."""
    x = logits.astype(np.float64)
    x -= x.max(axis=-1, keepdims=True)
    valid = labels != IGNORE
    truth = np.where(valid, labels, 0)[..., None].astype(np.int64)
    loss = np.log(np.exp(x).sum(axis=-1)) - np.take_along_axis(x, truth, axis=-1)[..., 0]
    return float(loss[valid].mean())
