"""The flags that name a data set and its published files, for programs that read them."""

import pathlib

from absl import flags

from jaxseg.data import builders
from jaxseg.data import source as sources
from jaxseg.data.builders import folder as folders
from jaxseg.data.builders.shapes_variants import VARIANTS
from jaxseg.data.pairing import pairs
from jaxseg.data.prepare.published_sets import SETS

NAME = flags.DEFINE_string(
    "name",
    None,
    f"The data set: {', '.join(builders.VERSIONS)}; folder/NAME or shapes/NAME; variants that test "
    f"one effect each: {', '.join(f'shapes/{name}' for name in VARIANTS)}; with objects: "
    "shapes/instances.",
)
DATA_DIR = flags.DEFINE_string("data_dir", "data", "The folder of prepared data sets.")
_MANUAL_DIR = flags.DEFINE_string("manual_dir", None, "Named sets: the published files.")
_IMAGES = flags.DEFINE_string("images", "", "folder/NAME: the folder of images.")
_MASKS = flags.DEFINE_string("masks", "", "folder/NAME: the folder of masks.")
CLASSES = flags.DEFINE_string("classes", "", "folder/NAME: the class file, text or JSON.")
_TABLE = flags.DEFINE_string("table", "", "folder/NAME: CSV with columns image, mask, [split].")
_LISTS = flags.DEFINE_string(
    "lists", "", "folder/NAME: a folder of train.txt, val.txt, test.txt with names of images."
)
_ANNOTATIONS = flags.DEFINE_string(
    "annotations",
    "",
    "folder/NAME, instances: a file in COCO's format, or train=FILE,val=FILE; needs --images.",
)
INSTANCES = flags.DEFINE_bool(
    "instances",
    False,
    "folder/NAME: masks hold object ids; with several classes, 1000 x the class's id + n.",
)
IMAGE_SUFFIX = flags.DEFINE_string("image_suffix", "", "folder/NAME: suffix of image names.")
MASK_SUFFIX = flags.DEFINE_string("mask_suffix", "", "folder/NAME: suffix of mask names.")
VAL_SHARE = flags.DEFINE_float("val_share", 0.1, "folder/NAME: share for val if no split is named.")
SEED = flags.DEFINE_integer("data_seed", 0, "shapes/NAME, folder/NAME: seed of random draws.", 0)


def manual_dir(kind: str) -> pathlib.Path:
    """The folder of published files.

    Raises:
      FileNotFoundError: it is not given, or does not exist.
    """
    given = _MANUAL_DIR.value
    if not given or not pathlib.Path(given).expanduser().is_dir():
        what = f"--manual_dir={given} is not a folder" if given else "--manual_dir is missing"
        raise FileNotFoundError(
            f"{kind}: {what}; it must name the folder with the published files (nothing is "
            f"downloaded): {SETS[kind].layout}"
        )
    return pathlib.Path(given).expanduser()


def folder_config(name: str) -> folders.FolderConfig:
    """The config of a set folder/NAME, from the flags."""
    return folders.FolderConfig(
        name=name.partition("/")[2],
        images=_IMAGES.value,
        masks=_MASKS.value,
        classes=CLASSES.value,
        table=_TABLE.value,
        lists=_LISTS.value,
        image_suffix=IMAGE_SUFFIX.value,
        mask_suffix=MASK_SUFFIX.value,
        val_share=VAL_SHARE.value,
        seed=SEED.value,
        annotations=_ANNOTATIONS.value,
        instances=INSTANCES.value,
    )


def names_published_files() -> bool:
    """Whether the flags name published files, not only a prepared set."""
    return any(flag.value for flag in (_MANUAL_DIR, _IMAGES, _MASKS, _TABLE, _ANNOTATIONS))


def find(name: str, *, need_classes: bool = True) -> pairs.Published:
    """The published files that the flags name, for every set but shapes.

    Args:
      name: of the set.
      need_classes: if False, folder/NAME does not need a class file.

    Raises:
      FileNotFoundError: they do not exist.
      ValueError: they are inconsistent.
    """
    kind = sources.check_name(name)
    if kind == "folder":
        return folders.find(folder_config(name), need_classes=need_classes)
    if kind not in SETS:
        raise ValueError(f"{name} has no published files")
    return SETS[kind].find(name.partition("/")[2], manual_dir(kind))
