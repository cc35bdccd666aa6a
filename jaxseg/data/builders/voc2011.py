"""VOC 2011 as FCN is trained and evaluated on it (Long et al., arXiv 1411.4038, section 4.3).

`train` is the 8,498 training images of SBD, with SBD's labels; `val` is seg11valid: the 736
validation images of the challenge that are not among them.

Source of the rule: github.com/shelhamer/fcn.berkeleyvision.org, data/pascal. Licence: images by
Flickr's terms; SBD: publications cite the paper. Size: 3.3 GB; prepared 1 GB (estimates).
"""

import pathlib

from jaxseg.data.builders.published_set import PublishedSet
from jaxseg.data.builders.voc2012 import LABELS, sbd_folder
from jaxseg.data.pairing import pairs
from jaxseg.data.readers import text_file

LAYOUT = (
    "VOC2011/{JPEGImages/NAME.jpg,SegmentationClass/NAME.png,ImageSets/Segmentation/val.txt}, "
    "benchmark_RELEASE/dataset/{img/NAME.jpg,cls/NAME.mat,train.txt} (SBD, here or in VOC2011)"
)
OFFICIAL = {"train": 8498, "val": 736}


def find(manual_dir: pathlib.Path) -> pairs.Published:
    """The files under `manual_dir`: VOCdevkit, its folder VOC2011, or the folder that holds it.

    Raises:
      FileNotFoundError: VOC 2011 or SBD is not there.
    """
    for folder in (manual_dir, manual_dir / "VOC2011", manual_dir / "VOCdevkit" / "VOC2011"):
        listed = folder / "ImageSets" / "Segmentation" / "val.txt"
        sbd = sbd_folder(folder, folder.parent, manual_dir)
        if not listed.is_file() or sbd is None:
            continue
        train = text_file.names(sbd / "train.txt")
        val = [name for name in text_file.names(listed) if name not in set(train)]
        found = {
            "train": [
                pairs.Pair(name, sbd / "img" / f"{name}.jpg", sbd / "cls" / f"{name}.mat")
                for name in train
            ],
            "val": [
                pairs.Pair(
                    name,
                    folder / "JPEGImages" / f"{name}.jpg",
                    folder / "SegmentationClass" / f"{name}.png",
                )
                for name in val
            ],
        }
        return pairs.Published(found, LABELS, official=OFFICIAL)
    raise FileNotFoundError(f"{manual_dir} holds no VOC 2011 with SBD; the layout is: {LAYOUT}")


SET = PublishedSet(
    kind="voc2011",
    variants={"": (find, LABELS)},
    layout=LAYOUT,
    homepage="http://host.robots.ox.ac.uk/pascal/VOC/voc2011/",
)
