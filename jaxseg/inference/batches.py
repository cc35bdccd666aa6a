"""Runs the batches of a split through the network; what is found stays on the devices."""

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
    """What is known of a batch."""

    label: Array  # uint8 [B, H, W], the truth
    index: Array  # int32 [B], of each image in its split; -1: filler
    size: Array  # int32 [B, 2], height and width of each image in its frame
    classes: Array  # int32 [B, H, W], the most probable
    finite: Array  # bool [B], whether all scores of the image are
    losses: Array | None = None  # float32 [B], sums over its valid pixels
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
    """The function from variables and a batch of `loader.eval_batches` to what is found of it.

    Args:
      model: gives "logits" [B, H, W, K].
      protocol: of the evaluation; `calibration` asks for the probabilities too.
      normalisation: of the pixels.
      num_classes: K of the data set.
      loss: whose cross-entropy is wanted too.
      mesh: of `make_mesh`, over which batches are spread; None: one device.

    Raises:
      ValueError: a field of the protocol has a value without meaning.
    """
    judged = None if loss is None else PixelLoss.of(loss)
    find = make_finder(model, protocol, normalisation, num_classes, judged)

    def predict(variables: Variables, batch: Mapping[str, np.ndarray]) -> Predicted:
        put = _on_devices(batch, mesh)
        found = find(variables, put["image"], put["size"], put["label"])
        return Predicted(put["label"], put["index"], put["size"], *found)

    return predict


def _on_devices(batch: Mapping[str, np.ndarray], mesh: Mesh | None) -> dict[str, Array]:
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
