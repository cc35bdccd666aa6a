"""An image and its mask, as files."""

import dataclasses
import pathlib
from collections.abc import Callable

import numpy as np

from jaxseg.data.instances import Objects
from jaxseg.data.readers import mask_file


@dataclasses.dataclass(frozen=True)
class Pair:
    """An image and its mask, or its objects.

    Attributes:
      name: of the example.
      image: the file.
      mask: the file; for a drawn mask, the file of the shapes.
      page: of both files, from 0; None: each holds one image.
      draw: returns the raw ids, uint8 [H, W], or raises a ValueError without the file's name; None:
        they are read from `mask`.
      objects: gives the objects of the image, of published categories, or raises a ValueError
        without the file's name; None: the set is not one of instances.
      stuff: gives the raw ids, uint8 [H, W], that `LabelSpec.stuff` of the set defines; None: the
        set has none.
    """

    name: str
    image: pathlib.Path
    mask: pathlib.Path
    page: int | None = None
    draw: Callable[[], np.ndarray] | None = None
    objects: Callable[[], Objects] | None = None
    stuff: Callable[[], np.ndarray] | None = None

    def where(self, path: pathlib.Path) -> str:
        """The name of one of the files, for messages."""
        named = pathlib.PurePath(self.name).name in path.stem
        if (self.draw or self.objects) and path == self.mask and not named:
            return f"{path} {self.name}"  # a file with the shapes of many images
        return f"{path} page {self.page}" if self.page else str(path)

    def read_mask(self, colours: mask_file.Colours | None = None) -> tuple[np.ndarray, str]:
        """Like `mask_file.read_mask`, for masks that are read and masks that are drawn."""
        if self.draw:
            return self.draw(), "drawn"
        return mask_file.read_mask(self.mask, colours, self.page)
