"""Oxford-IIIT Pet (Parkhi et al., CVPR 2012): cats and dogs, segmented from the background.

3,680 images for training, 3,669 for testing, as TFDS splits and names them (trainval.txt is
"train"). Trimaps hold 1 for the pet, 2 for the background and 3 for "not classified", the band
along the outline, which is void. The band is often used as a third class, with TFDS's ids minus
one.

Departure: TFDS's own builder of this name needs TensorFlow to write its records and to read them,
and rewrites twelve images; this builder reads the published archives, unpacked by the user or by
TFDS: `manual_dir` may be the data folder of TFDS. Images that are GIF or BMP files by content keep
their pixels.

Layout, splits and trimaps: the archive's annotations/README and TFDS's builder. Colours: there are
no official ones. Licence: CC BY-SA 4.0 according to the homepage; images belong to their owners.
Size: 0.8 GB; prepared 0.8 GB (estimates).
"""

import pathlib
from collections.abc import Iterator

from jaxseg.data.builders.published_set import PublishedSet
from jaxseg.data.labels import LabelSpec
from jaxseg.data.pairing import pairs
from jaxseg.data.readers import text_file
from jaxseg.ignore import IGNORE

LAYOUT = (
    "images/NAME.jpg, annotations/trimaps/NAME.png, annotations/{trainval,test}.txt; or TFDS's "
    "folder of data, where its oxford_iiit_pet has left downloads/extracted"
)
OFFICIAL = {"train": 3680, "test": 3669}
LISTS = {"train": "trainval.txt", "test": "test.txt"}
LABELS = LabelSpec(
    names=("background", "pet"),
    palette=((0, 0, 0), (128, 0, 0)),
    raw_to_train={1: 1, 2: 0, 3: IGNORE},
)


def _annotations(manual_dir: pathlib.Path) -> Iterator[tuple[pathlib.Path, pathlib.Path]]:
    """Folders of images and annotations that lie together, or that TFDS has unpacked separately."""
    for folder in (manual_dir, manual_dir / "oxford_iiit_pet"):
        yield folder / "images", folder / "annotations"
    for folder in (manual_dir, manual_dir / "downloads"):
        for lists in sorted(folder.glob("extracted/*pets*/annotations")):
            for images in sorted(folder.glob("extracted/*pets*/images")):
                yield images, lists


def find(manual_dir: pathlib.Path) -> pairs.Published:
    """The files under `manual_dir`, its folder oxford_iiit_pet, or what TFDS has unpacked in it.

    Raises:
      FileNotFoundError: no list there.
    """
    for images, folder in _annotations(manual_dir):
        found = {}
        for split, listed in LISTS.items():
            if (folder / listed).is_file():
                names = [line.split()[0] for _, line in text_file.lines(folder / listed)]
                found[split] = [
                    pairs.Pair(name, images / f"{name}.jpg", folder / "trimaps" / f"{name}.png")
                    for name in names
                ]
        if found:
            return pairs.Published(found, LABELS, official=OFFICIAL)
    raise FileNotFoundError(f"{manual_dir} holds no Oxford-IIIT Pet; the layout is: {LAYOUT}")


SET = PublishedSet(
    kind="oxford_iiit_pet",
    variants={"": (find, LABELS)},
    layout=LAYOUT,
    homepage="https://www.robots.ox.ac.uk/~vgg/data/pets/",
)
