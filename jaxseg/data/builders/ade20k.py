"""ADE20K as SceneParse150, the scene parsing challenge of 2016 (Zhou et al., arXiv 1608.05442).

20,210 images for training, 2,000 for validation; 150 classes. Masks hold 0 for everything else,
which is void, and 1 to 150.

Counts, ids and names: github.com/CSAILVision/sceneparsing, README and objectInfo150.txt, where the
name is the first word for the class; a copy next to the images is compared with it. Colours: that
repository's color150.mat, as open-mmlab/mmsegmentation quotes it. Licence: listed as BSD-3-Clause;
the images keep their owners' rights (terms on the homepage). Size: about 1 GB; prepared as much
again.
"""

import pathlib

from jaxseg.data.builders.published_set import PublishedSet
from jaxseg.data.labels import LabelSpec
from jaxseg.data.pairing import pairs
from jaxseg.data.readers import text_file
from jaxseg.ignore import IGNORE

LAYOUT = (
    "ADEChallengeData2016/{images,annotations}/{training,validation}/NAME{.jpg,.png}, "
    "ADEChallengeData2016/objectInfo150.txt"
)
OFFICIAL = {"train": 20210, "val": 2000}
FOLDERS = {"train": "training", "val": "validation"}
NAMES = (
    "wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, "
    "person, earth, door, table, mountain, plant, curtain, chair, car, water, painting, sofa, "
    "shelf, house, sea, mirror, rug, field, armchair, seat, fence, desk, rock, wardrobe, lamp, "
    "bathtub, railing, cushion, base, box, column, signboard, chest of drawers, counter, sand, "
    "sink, skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case, pool "
    "table, pillow, screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, "
    "flower, book, hill, bench, countertop, stove, palm, kitchen island, computer, swivel chair, "
    "boat, bar, arcade machine, hovel, bus, towel, light, truck, tower, chandelier, awning, "
    "streetlight, booth, television, airplane, dirt track, apparel, pole, land, bannister, "
    "escalator, ottoman, bottle, buffet, poster, stage, van, ship, fountain, conveyer belt, "
    "canopy, washer, plaything, swimming pool, stool, barrel, basket, waterfall, tent, bag, "
    "minibike, cradle, oven, ball, food, step, tank, trade name, microwave, pot, animal, bicycle, "
    "lake, dishwasher, screen, blanket, sculpture, hood, sconce, vase, traffic light, tray, "
    "ashcan, fan, pier, crt screen, plate, monitor, bulletin board, shower, radiator, glass, "
    "clock, flag"
)
PALETTE = (  # red, green and blue of each class
    "787878 b47878 06e6e6 503232 04c803 787850 8c8c8c cc05ff e6e6e6 04fa07 e005ff ebff07 96053d "
    "787846 08ff33 ff0652 8fff8c ccff04 ff3307 cc4603 0066c8 3de6fa ff0633 0b66ff ff0747 ff09e0 "
    "0907e6 dcdcdc ff095c 7009ff 08ffd6 07ffe0 ffb806 0aff47 ff290a 07ffff e0ff08 6608ff ff3d06 "
    "ffc207 ff7a08 00ff14 ff0829 ff0599 0633ff eb0cff a09614 00a3ff 8c8c8c fa0a0f 14ff00 1fff00 "
    "ff1f00 ffe000 99ff00 0000ff ff4700 00ebff 00adff 1f00ff 0bc8c8 ff5200 00fff5 003dff 00ff70 "
    "00ff85 ff0000 ffa300 ff6600 c2ff00 008fff 33ff00 0052ff 00ff29 00ffad 0a00ff adff00 00ff99 "
    "ff5c00 ff00ff ff00f5 ff0066 ffad00 ff0014 ffb8b8 001fff 00ff3d 0047ff ff00cc 00ffc2 00ff52 "
    "000aff 0070ff 3300ff 00c2ff 007aff 00ffa3 ff9900 00ff0a ff7000 8fff00 5200ff a3ff00 ffeb00 "
    "08b8aa 8500ff 00ff5c b800ff ff001f 00b8ff 00d6ff ff0070 5cff00 00e0ff 70e0ff 46b8a0 a300ff "
    "9900ff 47ff00 ff00a3 ffcc00 ff008f 00ffeb 85ff00 ff00eb f500ff ff007a fff500 0abed4 d6ff00 "
    "00ccff 1400ff ffff00 0099ff 0029ff 00ffcc 2900ff 29ff00 ad00ff 00f5ff 4700ff 7a00ff 00ffb8 "
    "005cff b8ff00 0085ff ffd600 19c2c2 66ff00 5c00ff"
)
LABELS = LabelSpec(
    names=tuple(NAMES.split(", ")),
    palette=tuple((c[0], c[1], c[2]) for c in map(bytes.fromhex, PALETTE.split())),
    raw_to_train={0: IGNORE, **{k + 1: k for k in range(150)}},
)


def _check_names(table: pathlib.Path) -> None:
    """Compares the published table, a header and a row of words per class, with LABELS."""
    rows = [line.split("\t") for _, line in text_file.lines(table)[1:]]
    if not all(row[0].isdigit() for row in rows):
        raise ValueError(f"{table} is not the published table: each row begins with an id")
    words = {int(row[0]): [word.strip().lower() for word in row[-1].split(",")] for row in rows}
    for raw, name in enumerate(LABELS.names, 1):
        if name not in words.get(raw, ()):
            raise ValueError(f"{table}: id {raw} is {words.get(raw, 'missing')}, not {name}")


def find(manual_dir: pathlib.Path) -> pairs.Published:
    """The files under `manual_dir` or its folder ADEChallengeData2016.

    Raises:
      FileNotFoundError: no split there.
      ValueError: objectInfo150.txt has other classes.
    """
    for folder in (manual_dir, manual_dir / "ADEChallengeData2016"):
        splits = {
            split: pairs.beside(
                folder / "images" / own, folder / "annotations" / own, ".jpg", ".png"
            )
            for split, own in FOLDERS.items()
        }
        if found := pairs.nonempty(splits):
            if (table := folder / "objectInfo150.txt").is_file():
                _check_names(table)
            return pairs.Published(found, LABELS, official=OFFICIAL)
    raise FileNotFoundError(f"{manual_dir} holds no ADE20K; the layout is: {LAYOUT}")


SET = PublishedSet(
    kind="ade20k",
    variants={"": (find, LABELS)},
    layout=LAYOUT,
    homepage="http://sceneparsing.csail.mit.edu/",
)
