"""Runs the batches of a split through the network; the results stay on the devices."""

import dataclasses
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxseg import config
from jaxseg.inference.judged import PixelLoss, make_finder
from jaxseg.pixels import Normalisation
from jaxseg.runtime.mesh import put_batch
from jaxseg.types import Array, Variables


@dataclasses.dataclass(frozen=True)
class Predicted:
    """The labels of a batch and its predictions."""

    label: Array  # uint8 [B, H, W], the truth
    index: Array  # int32 [B], of each image in its split; -1 for a filler
    size: Array  # int32 [B, 2], height and width of each image without padding
    classes: Array  # int32 [B, H, W], the most probable class
    finite: Array  # bool [B], whether all scores of the image are finite
    losses: Array | None = None  # float32 [B], sums over the valid pixels
    probabilities: Array | None = None  # float32 [B, H, W, K]


def make_batch_predictor(
    model: nn.Module,
    protocol: config.Eval,
    normalisation: Normalisation,
    num_classes: int,
    *,
    loss: config.Loss | None = None,
    mesh: Mesh | None = None,
) -> Callable[[Variables, Mapping[str, np.ndarray]], Predicted]:
    """Makes the function from variables and a batch of `loader.eval_batches` to its predictions.

    Args:
      model: returns "logits" [B, H, W, K].
      protocol: of the evaluation; with `calibration` probabilities are returned too.
      normalisation: of the pixels.
      num_classes: K of the data set.
      loss: if given, its cross-entropy is computed too.
      mesh: from `make_mesh`, over which batches are sharded; None means one device.

    Raises:
      ValueError: a field of the protocol has an invalid value.
    """
    judged = None if loss is None else PixelLoss.of(loss)
    find = make_finder(model, protocol, normalisation, num_classes, judged)

    def predict(variables: Variables, batch: Mapping[str, np.ndarray]) -> Predicted:
        put = _on_devices(batch, mesh)
        found = find(variables, put["image"], put["size"], put["label"])
        return Predicted(put["label"], put["index"], put["size"], *found)

    return predict


def _on_devices(batch: Mapping[str, np.ndarray], mesh: Mesh | None) -> dict[str, Array]:
    """Moves image and label (uint8), index [B] and size [B, 2] (int32) to the devices."""
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
