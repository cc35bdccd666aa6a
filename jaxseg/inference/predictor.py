"""Predicts one image at a time, padded to its frame, for written predictions and for pictures."""

from collections.abc import Callable

import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Float, UInt8

from jaxseg import config
from jaxseg.data.augment import mirrored
from jaxseg.data.frames import Framing
from jaxseg.data.labels import LabelSpec
from jaxseg.data.padding import pad_image
from jaxseg.errors import no_memory
from jaxseg.inference.infer import make_predictions, make_probabilities
from jaxseg.pixels import Normalisation
from jaxseg.types import Variables

_Predict = Callable[[Variables, np.ndarray], tuple[np.ndarray, np.ndarray | None]]


def framing_of(experiment: config.Experiment) -> Framing:
    """Returns the framing that an experiment uses for prediction."""
    return Framing(experiment.eval.size, experiment.data.crop_size)


def make_predictor(
    model: nn.Module,
    labels: LabelSpec,
    protocol: config.Eval,
    normalisation: Normalisation,
    framing: Framing,
    *,
    with_probabilities: bool = False,
) -> _Predict:
    """Makes the function (variables, image) -> (ids, probabilities or None).

    The ids are those that `split.evaluate` counts for the same pixels.

    Args:
      model: returns "logits" [B, H, W, K].
      labels: the K classes.
      protocol: output stride, scales, flip, windows and so on.
      normalisation: of the pixels; images are padded with its mean.
      framing: the sizes to which images are padded.
      with_probabilities: whether to return probabilities as well.

    Returns:
      A function of variables and an image uint8 [H, W, 3] that returns ids uint8 [H, W] and
      probabilities float32 [H, W, K] or None. It raises MemoryError if the image is too large for
      the device, RuntimeError if the device fails in another way, and ValueError if the model does
      not match the labels or its scores are not finite.
    """
    mirrored.check(labels.names, "eval.flip", protocol.flip)
    probabilities_of = make_probabilities(model, protocol, normalisation)
    predictions_of = make_predictions(model, protocol, normalisation, labels.num_classes)

    def scores(
        variables: Variables, batch: np.ndarray, sizes: np.ndarray
    ) -> tuple[np.ndarray, bool, np.ndarray | None]:
        if not with_probabilities:
            ids, finite = predictions_of(variables, batch, sizes)
            return np.asarray(ids[0]), bool(finite[0]), None
        probabilities = np.asarray(probabilities_of(variables, batch, sizes)[0])  # [H, W, K]
        if probabilities.shape[-1] != labels.num_classes:
            raise ValueError(
                f"the model predicts {probabilities.shape[-1]} classes, "
                f"the labels name {labels.num_classes}"
            )
        return probabilities.argmax(-1), bool(np.isfinite(probabilities).all()), probabilities

    def of_one(
        variables: Variables, image: UInt8[np.ndarray, "h w 3"]
    ) -> tuple[UInt8[np.ndarray, "h w"], Float[np.ndarray, "h w k"] | None]:
        height, width = image.shape[:2]
        try:
            batch = pad_image(image, framing.of((height, width)), normalisation.mean)[None]
            ids, finite, probabilities = scores(variables, batch, np.array([[height, width]]))
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            raise _failure(error, height, width) from error
        if not finite:
            raise ValueError("the model's scores are not finite (NaN or infinite)")
        if probabilities is not None:
            probabilities = probabilities[:height, :width]
        return ids[:height, :width].astype(np.uint8), probabilities

    return of_one


def _failure(error: BaseException, height: int, width: int) -> MemoryError | RuntimeError:
    """Converts an error of a device or an allocator into one with a message for the user."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    if no_memory(error):
        return MemoryError(
            f"{width} x {height} pixels do not fit into memory ({said}): predict a smaller copy, "
            "or in windows (--config.eval.sliding=True)"
        )
    return RuntimeError(f"the device fails on {width} x {height} pixels: {said}")
