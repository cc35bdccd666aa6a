"""K. Situations from bug reports of other segmentation libraries: files, masks, views, windows.

They do not occur in A to J. `others` and `others_training` have the rest.
"""

import pathlib
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from PIL import Image

from experiments.robustness.field_reports.situation import Seen, Situation, check, refusal, right
from jaxseg.data import frames, loader
from jaxseg.data.augment.settings import Augment
from jaxseg.data.augment.transforms import Transform
from jaxseg.data.builders import folder as own_folder
from jaxseg.data.labels import LabelSpec
from jaxseg.data.pairing import pairs
from jaxseg.data.readers import photos
from jaxseg.layers.resize import resize_bilinear
from jaxseg.types import IGNORE


def _write(path: pathlib.Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _own(folder: pathlib.Path, images: Sequence[str], masks: Sequence[str]) -> pairs.Published:
    """Images whose grey level is their number, and masks with that number as their id."""
    for number, name in enumerate(images):
        _write(folder / "images" / name, np.full((8, 9, 3), number, np.uint8))
    for number, name in enumerate(masks):
        _write(folder / "masks" / name, np.full((8, 9), number, np.uint8))
    (folder / "classes.txt").write_text("ground\nred\nblue\n")
    given = own_folder.FolderConfig(
        name="own",
        images=str(folder / "images"),
        masks=str(folder / "masks"),
        classes=str(folder / "classes.txt"),
        val_share=0.5,
    )
    return own_folder.find(given)


def _paired(folder: pathlib.Path, images: Sequence[str], masks: Sequence[str]) -> Seen:
    """Checks that each image is paired with the mask of its own number."""
    published = _own(folder, images, masks)
    found = [pair for split in published.splits.values() for pair in split]
    check(len(found) == len(images), f"{len(found)} pairs of {len(images)} images")
    for pair in found:
        number = int(np.asarray(Image.open(pair.image)).ravel()[0])
        ids, _ = pair.read_mask()
        check((ids == number).all(), f"{pair.image.name} has the mask {pair.mask.name}")
    names = sorted(pair.name for pair in found)
    return right(True, f"each image has its own mask: {', '.join(names)}")


def _several_dots(folder: pathlib.Path) -> Seen:
    return _paired(folder, ["a.1.png", "a.2.png", "a b.png"], ["a.1.png", "a.2.png", "a b.png"])


def _capitals(folder: pathlib.Path) -> Seen:
    """Only the suffix is in capitals: .PNG, .JPG and .Png."""
    seen = _paired(folder, ["0.PNG", "1.Png"], ["0.png", "1.PNG"])
    named = {photo.name for photo in photos.find([folder / "images"])[0]}
    check(named == {"0", "1"}, f"prediction finds {sorted(named)}")
    return seen


def _same_names(folder: pathlib.Path) -> Seen:
    """day/1.png and night/1.png are predicted under two names."""
    for part in ("day", "night"):
        _write(folder / part / "1.png", np.zeros((4, 4, 3), np.uint8))
    names = [photo.name for photo in photos.find([folder / "day", folder / "night"])[0]]
    return right(len(set(names)) == 2, f"written as {' and '.join(names)}")


def _mask_of_another_size(folder: pathlib.Path) -> Seen:
    published = _own(folder, ["0.png", "1.png"], ["0.png", "1.png"])
    _write(folder / "masks" / "1.png", np.zeros((4, 5), np.uint8))
    return refusal(lambda: pairs.check(published, folder / "journal.json"), "1.png", "5", "9")


def _zero_is_void(_: pathlib.Path) -> Seen:
    """Raw 0 is void and raw 1 to 3 are the classes: mapped once, without wrapping around."""
    spec = LabelSpec(("a", "b", "c"), ((0, 0, 0),) * 3, {0: IGNORE, 1: 0, 2: 1, 3: 2})
    found = spec.encode(np.array([0, 1, 2, 3], np.uint8), "mask").tolist()
    check(found == [IGNORE, 0, 1, 2], f"0, 1, 2, 3 became {found}")
    return refusal(lambda: spec.encode(np.array([255], np.uint8), "mask.png"), "mask.png", "255")


def _colours_in_order(folder: pathlib.Path) -> Seen:
    """A red file is red in training and in prediction."""
    red = np.zeros((6, 6, 3), np.uint8)
    red[..., 0] = 200
    _write(folder / "red.png", red)
    view, _ = Transform((6, 6), Augment(scale_range=(1.0, 1.0), flip=False)).apply(
        np.random.default_rng(0), photos.read(folder / "red.png"), np.zeros((6, 6), np.uint8)
    )
    return right((view == red).all(), f"red, green, blue of a view: {view[0, 0].tolist()}")


def _no_new_ids(_: pathlib.Path) -> Seen:
    """Scaled, rotated and deformed masks hold only ids of the mask, and void outside the image."""
    rng = np.random.default_rng(0)
    label = rng.choice(np.array([0, 3, 9], np.uint8), (40, 50))
    image = np.zeros((40, 50, 3), np.uint8)
    augment = Transform((32, 32), Augment(scale_range=(0.3, 2.7), rotation=40, elastic=4))
    ids = {
        int(i)
        for n in range(40)
        for i in np.unique(augment.apply(np.random.default_rng(n), image, label)[1])
    }
    return right(ids == {0, 3, 9, IGNORE}, f"ids of 40 views: {sorted(ids)}")


def _crop_beyond_the_image(_: pathlib.Path) -> Seen:
    """Beyond a small image, a crop has void in the mask and the mean colour in the image."""
    augment = Transform(
        (12, 12), Augment(scale_range=(1.0, 1.0), flip=False), mean=(10.0, 20.0, 30.0)
    )
    image, label = np.full((5, 6, 3), 99, np.uint8), np.ones((5, 6), np.uint8)
    view, mask = augment.apply(np.random.default_rng(0), image, label)
    beyond = mask == IGNORE
    check(beyond.sum() == 144 - 30 and (mask[~beyond] == 1).all(), "the padding counts")
    return right((view[beyond] == (10, 20, 30)).all(), "beyond the image: void, in the mean colour")


class _Numbered:
    """Images of independent noise."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> dict:
        rng = np.random.default_rng(index)
        image = rng.integers(0, 256, (30, 30, 3), np.uint8)
        return {"image": image, "label": np.full((30, 30), index, np.uint8), "name": f"{index}"}


def _views_of_workers(_: pathlib.Path) -> Seen:
    """Four readers, six epochs: no view occurs twice, and they equal those of one reader."""

    def views(threads: int) -> list[bytes]:
        batches = loader.train_iterator(
            _Numbered(),  # type: ignore[arg-type]
            batch_size=3,
            transform=Transform((8, 8)),
            seed=0,
            threads=threads,
            prefetch=8,
        )
        return [image.tobytes() for _ in range(6) for image in next(batches)["image"]]

    one, four = views(0), views(4)
    check(one == four, "the views depend on the number of readers")
    return right(len(set(four)) == 18, "18 views of 3 images in 6 epochs, all different")


def _shared_evaluation(_: pathlib.Path) -> Seen:
    """Seven images over 2 and 3 processes: each occurs once, in equally many batches of each."""
    source = [_Numbered()[i] for i in range(7)]
    for count in (2, 3):
        groups = frames.groups(
            source, 7, frames.Framing((30, 30), (8, 8)), batch_size=count, multiple=count, threads=1
        )
        shares = [
            [
                b["index"]
                for b in loader.eval_batches(
                    source,
                    groups,
                    pad_value=(0, 0, 0),
                    process_index=p,
                    process_count=count,
                    threads=0,
                )
            ]
            for p in range(count)
        ]
        seen = sorted(int(i) for share in shares for index in share for i in index if i >= 0)
        check(seen == list(range(7)), f"{count} processes saw {seen}")
        check(len({len(share) for share in shares}) == 1, "processes with fewer batches would wait")
    return right(True, "7 images over 2 and 3 processes: each once, no process waits for another")


def _corners(_: pathlib.Path) -> Seen:
    """An upsampled map is not shifted, at odd and even sizes: symmetric maps stay symmetric."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for inputs, outputs in ((5, 33), (4, 33), (7, 50), (33, 5)):
        half = rng.normal(size=(1, 3, inputs, 2))
        x = (half + half[:, :, ::-1]).astype(np.float32)
        for convention in ("align_corners", "half_pixel"):
            y = np.asarray(resize_bilinear(jnp.asarray(x), (3, outputs), convention=convention))
            worst = max(worst, float(np.abs(y - y[:, :, ::-1]).max()))
    return right(worst < 1e-5, f"symmetric maps stay so to {worst:.0e}, at odd and even sizes")


_TEST = (
    "tests/experiments/test_field_reports_others.py"
    "::test_each_ends_in_a_right_value_or_a_clear_line"
)
_MADE: tuple[tuple[str, str, Callable[[pathlib.Path], Seen]], ...] = (
    ("names with several dots and spaces", "abreheret/PixelAnnotationTool#63", _several_dots),
    ("suffixes in capitals", "open-edge-platform/anomalib#3058", _capitals),
    ("the same file name in two folders", "Project-MONAI/MONAI#1854", _same_names),
    ("a mask smaller than its image", "Neural-Systems-at-UIO/pynutil#60", _mask_of_another_size),
    ("raw id 0 that is void", "open-mmlab/mmsegmentation#2500", _zero_is_void),
    ("red and blue swapped", "hustvl/SparseInst#100", _colours_in_order),
    (
        "ids that a mask did not have before scaling",
        "albumentations-team/albumentations#175",
        _no_new_ids,
    ),
    ("a crop larger than the image", "facebookresearch/detectron2#4203", _crop_beyond_the_image),
    ("the same views from all readers", "xingyizhou/CenterNet#233", _views_of_workers),
    ("images shared unequally by processes", "NKI-AI/direct#50", _shared_evaluation),
    ("maps shifted by upsampling", "dmlc/gluon-cv#437", _corners),
)
SITUATIONS = tuple(
    Situation("K", name, "right", f"{_TEST}[{name}]", run, source) for name, source, run in _MADE
)
