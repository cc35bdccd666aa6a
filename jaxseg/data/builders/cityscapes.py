"""Cityscapes (Cordts et al., arXiv 1604.01685): street scenes of 1024 x 2048, 19 of 34 ids.

`cityscapes` has the fine labels; `cityscapes/coarse` the coarse ones, with 19,998 more images in
`train_extra`. Masks are the files of label ids. A license plate has the id -1, which the official
tools never draw; as a byte it would be 255, so that is void. The label files of `test` hold only
void: the server has the others.

Names, ids, colours and counts: github.com/mcordts/cityscapesScripts, helpers/labels.py and README.
Licence: registration at cityscapes-dataset.com; for research and other non-commercial use; no
redistribution. Size: about 12 GB, with train_extra about 55 GB; prepared as much again (estimates
from 2.2 MB an image).
"""

import pathlib
from collections.abc import Iterator, Mapping

import tensorflow_datasets as tfds

from jaxseg.data import builders, pairs, records
from jaxseg.data.labels import LabelSpec
from jaxseg.types import IGNORE

LAYOUT = (
    "leftImg8bit/{train,val,test}/CITY/CITY_SEQUENCE_FRAME_leftImg8bit.png, "
    "gtFine/{train,val,test}/CITY/CITY_SEQUENCE_FRAME_gtFine_labelIds.png; cityscapes/coarse: "
    "{train,train_extra,val}, gtCoarse in place of gtFine"
)
OFFICIAL = {"train": 2975, "val": 500, "test": 1525}
OFFICIAL_COARSE = {"train": 2975, "train_extra": 19998, "val": 500}
CLASSES = (  # raw id, name, colour, in the order of the train ids
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)
LABELS = LabelSpec(
    names=tuple(name for _, name, _ in CLASSES),
    palette=tuple(colour for _, _, colour in CLASSES),
    raw_to_train={
        **dict.fromkeys([*range(34), 255], IGNORE),
        **{raw: train for train, (raw, _, _) in enumerate(CLASSES)},
    },
)


def _find(manual_dir: pathlib.Path, masks: str, official: Mapping[str, int]) -> pairs.Published:
    """The splits of which there are both images and masks."""
    for folder in (manual_dir, manual_dir / "cityscapes"):
        splits = {
            split: pairs.beside(
                folder / "leftImg8bit" / split,
                folder / masks / split,
                "_leftImg8bit.png",
                f"_{masks}_labelIds.png",
            )
            for split in official
        }
        if found := pairs.nonempty(splits):
            return pairs.Published(found, LABELS, official=official)
    raise FileNotFoundError(f"{manual_dir} holds no Cityscapes; the layout is: {LAYOUT}")


def find(manual_dir: pathlib.Path) -> pairs.Published:
    """The images and fine labels under `manual_dir` or its folder cityscapes.

    Raises:
      FileNotFoundError: no split there.
    """
    return _find(manual_dir, "gtFine", OFFICIAL)


def find_coarse(manual_dir: pathlib.Path) -> pairs.Published:
    """As `find`, with the coarse labels."""
    return _find(manual_dir, "gtCoarse", OFFICIAL_COARSE)


class Cityscapes(tfds.core.GeneratorBasedBuilder):
    """The builder; `manual_dir` holds the published files; its only config is "coarse"."""

    VERSION = tfds.core.Version(builders.VERSIONS["cityscapes"])
    MANUAL_DOWNLOAD_INSTRUCTIONS = LAYOUT

    def _info(self) -> tfds.core.DatasetInfo:
        return records.info(self, LABELS, "https://www.cityscapes-dataset.com/")

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        look = find_coarse if self.builder_config else find
        return pairs.generators(self, look(pathlib.Path(dl_manager.manual_dir)))

    def _generate_examples(
        self, published: pairs.Published, split: str
    ) -> Iterator[tuple[int, dict[str, object]]]:
        yield from pairs.examples(published, split)
