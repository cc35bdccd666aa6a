"""DRIVE (Staal et al., IEEE TMI 23(4), 2004): blood vessels of the retina, 40 images of 584 x 565.

20 images are for training and 20 for testing; newer downloads have no labels for testing. Labels
are those of the first observer. Pixels outside the field of view are background, as annotated; the
masks of the field of view are not applied.

Layout and counts: openmedlab's notes and the DRIVE page they describe. Licence: for research, after
registration at drive.grand-challenge.org. Size: 30 MB; prepared 20 MB (estimates). Colours: there
are no official ones; these are those of the published labels.
"""

import pathlib

from jaxseg.data.builders.published_set import PublishedSet
from jaxseg.data.labels import LabelSpec
from jaxseg.data.pairing import pairs

LAYOUT = (
    "training/images/NN_training.tif, training/1st_manual/NN_manual1.gif, test/images/NN_test.tif, "
    "test/1st_manual/NN_manual1.gif"
)
OFFICIAL = {"train": 20, "test": 20}
FOLDERS = {"train": "training", "test": "test"}
COLOURS = {(0, 0, 0): 0, (255, 255, 255): 255}  # independent of the indices in the GIF files
LABELS = LabelSpec(
    names=("background", "vessel"), palette=tuple(COLOURS), raw_to_train={0: 0, 255: 1}
)


def find(manual_dir: pathlib.Path) -> pairs.Published:
    """The files under `manual_dir` or its folder DRIVE.

    Raises:
      FileNotFoundError: no labelled split there.
    """
    for folder in (manual_dir, manual_dir / "DRIVE"):
        splits = {
            split: pairs.beside(
                folder / own / "images",
                folder / own / "1st_manual",
                f"_{own}.tif",
                "_manual1.gif",
            )
            for split, own in FOLDERS.items()
        }
        if found := pairs.nonempty(splits):
            return pairs.Published(found, LABELS, COLOURS, OFFICIAL)
    raise FileNotFoundError(f"{manual_dir} holds no DRIVE; the layout is: {LAYOUT}")


SET = PublishedSet(
    kind="drive",
    variants={"": (find, LABELS)},
    layout=LAYOUT,
    homepage="https://drive.grand-challenge.org/",
)
