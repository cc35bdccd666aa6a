"""Finds objects: from a batch of images on their canvas to detections in pixels of each image."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float, Int, UInt8

from jaxseg.data import instance_loader
from jaxseg.data.augment.instance_transforms import InstanceTransform
from jaxseg.data.augment.scaling import nearest
from jaxseg.inference import object_views
from jaxseg.inference.object_views import View, make_view_detector
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
      semantic: the class of each pixel, of a network that classifies them too: 0 for things, 1, 2,
        ... for stuff. Departure: it is that of the nearest pixel of the image as the network sees
        it, where detectron2 interpolates the scores; both agree at equal sizes.
    """

    index: int
    size: tuple[int, int]
    boxes: Float[np.ndarray, "d 4"]
    scores: Float[np.ndarray, " d"]
    classes: Int[np.ndarray, " d"]
    grids: Float[np.ndarray, "d m m"] | None
    semantic: UInt8[np.ndarray, "h w"] | None = None

    def masks(self, convention: str = "torchvision") -> Iterator[np.ndarray] | None:
        """The mask of each detection, bool [H, W], drawn when it is asked for."""
        if self.grids is None:
            return None
        return paste_masks(self.grids, self.boxes, self.size, convention)


def make_detector(
    model: nn.Module,
    normalisation: Normalisation,
    mesh: Mesh | None = None,
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
) -> Callable[[Variables, Mapping[str, np.ndarray]], list[Found]]:
    """Makes the function from variables and a batch of `instance_loader.eval_batches` to `Found`.

    The function returns the detections of the images that this process has read, without fillers.
    It raises NotFinite if scores are not.

    Args:
      model: a detector.
      normalisation: of the pixels.
      mesh: from `make_mesh`, over which batches are sharded; None means one device.
      scales: of the batches; the detections of several are merged (`object_views`).
      flip: see the mirror image at each scale as well.

    Raises:
      ValueError: the detections of the model cannot be merged.
    """
    object_views.check(model, scales, flip)
    views = object_views.views_of(scales, flip)
    put = functools.partial(_put, mesh=mesh)
    local = functools.partial(_local, mesh=mesh)
    if len(views) == 1:
        detect = _plain(model, normalisation, mesh)
    else:
        detect = make_view_detector(model, normalisation, views, mesh, put, local)

    def found(variables: Variables, batch: Mapping[str, np.ndarray]) -> list[Found]:
        own = detect(variables, batch)
        return [
            _of_image(i, {name: array[i] for name, array in own.items()}, batch)
            for i in range(len(batch["index"]))
            if batch["index"][i] >= 0
        ]

    return found


def _plain(
    model: nn.Module, normalisation: Normalisation, mesh: Mesh | None
) -> Callable[[Variables, Mapping[str, np.ndarray]], dict[str, np.ndarray]]:
    """The detections of a batch in pixels of the images, with a single view of each."""
    program, view = _program(model, normalisation, mesh), View(0, mirrored=False)

    def detect(variables: Variables, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        sent = _put({name: batch[name] for name in ("image", "size")}, mesh)
        outputs = program(variables, sent["image"], sent["size"])
        own = {name: _local(array, mesh) for name, array in outputs.items()}
        boxes = object_views.to_image(own["boxes"], view, batch["size"], batch["original"])
        return own | {"boxes": boxes}

    return detect


def _put(arrays: Mapping[str, np.ndarray], mesh: Mesh | None) -> dict[str, Array]:
    return jax.device_put(dict(arrays)) if mesh is None else put_batch(arrays, mesh)


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
        if "logits" in outputs:
            found["semantic"] = jnp.argmax(outputs["logits"], axis=-1).astype(jnp.uint8)
        return found

    return detect


def make_image_detector(
    model: nn.Module,
    transform: InstanceTransform,
    normalisation: Normalisation,
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
) -> Callable[[Variables, np.ndarray], Found]:
    """Makes the function from variables and one image uint8 [H, W, 3] to what is found in it.

    The detections are those that `evaluation.instance_split` judges. It raises ValueError if
    scores are not finite.

    Args:
      model: a detector.
      transform: decides the size of the image and its canvas.
      normalisation: of the pixels.
      scales: as of `make_detector`.
      flip: likewise.

    Raises:
      ValueError: the detections of the model cannot be merged.
    """
    detect = make_detector(model, normalisation, scales=scales, flip=flip)
    transforms = [transform.scaled(scale) for scale in scales]

    def of_one(variables: Variables, image: np.ndarray) -> Found:
        element = instance_loader.evaluated(image, 0, transforms)
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
    height, width = batch["original"][i].tolist()
    return Found(
        index=index,
        size=(height, width),
        boxes=own["boxes"][keep],
        scores=own["scores"][keep],
        classes=own["classes"][keep],
        grids=own["masks"][keep] if "masks" in own else None,
        semantic=_in_image(own["semantic"], batch["size"][i].tolist(), (height, width))
        if "semantic" in own
        else None,
    )


def _in_image(classes: np.ndarray, seen: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """The classes of the pixels of an image from those of its canvas, where its size is `seen`."""
    rows, columns = (
        nearest(0, side, Fraction(side, there), there)
        for side, there in zip(size, seen, strict=True)
    )
    return classes[np.ix_(rows, columns)]
