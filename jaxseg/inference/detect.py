"""Finds objects: from a batch of images on their canvas to detections in pixels of each image."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import cast

import flax.linen as nn
import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float, Int

from jaxseg.data import instance_loader
from jaxseg.data.augment.instance_transforms import InstanceTransform
from jaxseg.pixels import Normalisation, normalise
from jaxseg.postprocess.paste_masks import paste_masks
from jaxseg.runtime.mesh import put_batch
from jaxseg.types import Array, Instances, Variables

_KEPT = ("boxes", "scores", "classes", "valid", "finite")


class NotFinite(ValueError):
    """The scores of an image are not finite."""


@dataclasses.dataclass(frozen=True)
class Found:
    """The detections of one image, by descending score.

    Attributes:
      index: of the image in its split.
      size: (height, width) of the image.
      boxes: x1, y1, x2, y2 in pixels of the image.
      scores: 0 to 1.
      classes: 1 to K.
      grids: probabilities of the masks on a grid over each box; None for a detector of boxes.
    """

    index: int
    size: tuple[int, int]
    boxes: Float[np.ndarray, "d 4"]
    scores: Float[np.ndarray, " d"]
    classes: Int[np.ndarray, " d"]
    grids: Float[np.ndarray, "d m m"] | None

    def masks(self, convention: str = "torchvision") -> Iterator[np.ndarray] | None:
        """The mask of each detection, bool [H, W], drawn when it is asked for."""
        if self.grids is None:
            return None
        return paste_masks(self.grids, self.boxes, self.size, convention)


def make_detector(
    model: nn.Module, normalisation: Normalisation, mesh: Mesh | None = None
) -> Callable[[Variables, Mapping[str, np.ndarray]], list[Found]]:
    """Makes the function from variables and a batch of `instance_loader.eval_batches` to `Found`.

    The function returns the detections of the images that this process has read, without fillers.
    It raises NotFinite if scores are not.

    Args:
      model: a detector.
      normalisation: of the pixels.
      mesh: from `make_mesh`, over which batches are sharded; None means one device.
    """
    detect = _program(model, normalisation, mesh)

    def found(variables: Variables, batch: Mapping[str, np.ndarray]) -> list[Found]:
        sent = {name: batch[name] for name in ("image", "size")}
        put = jax.device_put(sent) if mesh is None else put_batch(sent, mesh)
        outputs = detect(variables, put["image"], put["size"])
        own = {name: _local(array, mesh) for name, array in outputs.items()}
        return [
            _of_image(i, {name: array[i] for name, array in own.items()}, batch)
            for i in range(len(batch["index"]))
            if batch["index"][i] >= 0
        ]

    return found


@functools.lru_cache(maxsize=16)
def _program(
    model: nn.Module, normalisation: Normalisation, mesh: Mesh | None
) -> Callable[[Variables, Array, Array], dict[str, Array]]:
    """The compiled network, once for equal ones: every evaluation of a training uses the same."""
    spread = None if mesh is None else NamedSharding(mesh, PartitionSpec("data"))

    @functools.partial(jax.jit, out_shardings=spread)
    def detect(variables: Variables, images: Array, sizes: Array) -> dict[str, Array]:
        images = normalise(images, normalisation)
        outputs = cast(Instances, model.apply(variables, images, sizes=sizes, train=False))
        found = {name: outputs[name] for name in _KEPT if name in outputs}
        if "mask_logits" in outputs:
            found["masks"] = jax.nn.sigmoid(outputs["mask_logits"])
        return found

    return detect


def make_image_detector(
    model: nn.Module, transform: InstanceTransform, normalisation: Normalisation
) -> Callable[[Variables, np.ndarray], Found]:
    """Makes the function from variables and one image uint8 [H, W, 3] to what is found in it.

    The detections are those that `evaluation.instance_split` judges. It raises ValueError if
    scores are not finite.

    Args:
      model: a detector.
      transform: decides the size of the image and its canvas.
      normalisation: of the pixels.
    """
    detect = make_detector(model, normalisation)

    def of_one(variables: Variables, image: np.ndarray) -> Found:
        element = instance_loader.evaluated(image, 0, transform)
        try:
            (found,) = detect(variables, {name: array[None] for name, array in element.items()})
        except NotFinite:
            raise ValueError("the model's scores are not finite (NaN or infinite)") from None
        return found

    return of_one


def _local(array: Array, mesh: Mesh | None) -> np.ndarray:
    """The part of an array sharded over the batch that this process has put in."""
    if mesh is None:
        return np.asarray(array)
    axes = PartitionSpec("data")
    return np.asarray(multihost_utils.global_array_to_host_local_array(array, mesh, axes))


def _of_image(i: int, own: Mapping[str, np.ndarray], batch: Mapping[str, np.ndarray]) -> Found:
    index = int(batch["index"][i])
    if not own["finite"]:
        raise NotFinite(
            f"image {index} of the split has scores that are not finite (NaN or infinite)"
        )
    keep = own["valid"]
    resized, original = batch["size"][i], batch["original"][i]
    height, width = original.tolist()
    scale = np.tile((original / np.maximum(resized, 1))[::-1], 2).astype(np.float32)
    return Found(
        index=index,
        size=(height, width),
        boxes=own["boxes"][keep] * scale,
        scores=own["scores"][keep],
        classes=own["classes"][keep],
        grids=own["masks"][keep] if "masks" in own else None,
    )
