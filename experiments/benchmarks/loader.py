"""Measures the images per second of the loader, and the time of each of its stages.

    python -m experiments.benchmarks.loader
    python -m experiments.benchmarks.loader --threads=16 --crop=769,769

JPEGs of 500 x 375 with PNG labels, as in PASCAL VOC, are drawn into a temporary folder and prepared
with the `folder` builder. Every stage is timed separately in one thread, by the minimum CPU time
over several rounds, which other programs on the machine hardly affect. The whole loader is timed by
wall time and by the CPU time of all its threads.
"""

import contextlib
import io
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import tensorflow_datasets as tfds
from absl import app, flags, logging

from jaxseg import whole_file
from jaxseg.data import loader, records
from jaxseg.data.augment.settings import Augment
from jaxseg.data.augment.transforms import Transform
from jaxseg.data.builders import folder
from jaxseg.data.labels import LabelSpec
from jaxseg.percent import percent
from jaxseg.reporting import tables

_SIZE = flags.DEFINE_list("image", ["375", "500"], "Height and width of the images.")
_CROP = flags.DEFINE_list("crop", ["513", "513"], "Height and width of the crops.")
_EXAMPLES = flags.DEFINE_integer("images", 64, "Images drawn.", 8)
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Rounds of each stage; the minimum counts.", 1)
_THREADS = flags.DEFINE_integer("threads", os.cpu_count() or 1, "Reader threads.", 1)
_BATCH = flags.DEFINE_integer("batch", 16, "Images per batch.", 1)
_SECONDS = flags.DEFINE_float("seconds", 6.0, "Duration of timing the whole loader.", 0.1)
_JPEG_QUALITY = 96  # about 100 kB per file, the mean of VOC


def _draw(root: pathlib.Path, count: int, size: tuple[int, int]) -> None:
    """Smooth noise and 21 classes in large regions, so that files compress like photographs."""
    rng = np.random.default_rng(0)
    for path in ("images", "masks"):
        (root / path).mkdir()
    for i in range(count):
        coarse = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        image = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC).astype(np.int16)
        grain = rng.integers(-25, 26, image.shape, dtype=np.int16)
        image = cv2.GaussianBlur(np.clip(image + grain, 0, 255).astype(np.uint8), (3, 3), 0.6)
        regions = rng.integers(0, 21, (5, 6), dtype=np.uint8)
        label = cv2.resize(regions, size[::-1], interpolation=cv2.INTER_NEAREST)
        options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        cv2.imwrite(str(root / "images" / f"{i:04d}.jpg"), image, options)
        mask = root / "masks" / f"{i:04d}.png"
        whole_file.write_bytes(mask, records.encode_label(label), sync=False)
    classes = "\n".join(f"class{k}" for k in range(21))
    whole_file.write_text(root / "classes.txt", classes, sync=False)


def _prepare(root: pathlib.Path) -> loader.Source:
    config = folder.FolderConfig(
        name="benchmark",
        images=str(root / "images"),
        masks=str(root / "masks"),
        classes=str(root / "classes.txt"),
        val_share=0.0,
    )
    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    builder = folder.Folder(data_dir=root / "data", config=config, file_format="array_record")
    silent = io.StringIO()
    with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
        builder.download_and_prepare()
    return loader.open_split("folder/benchmark", "train", root / "data")


def _least(stage: Callable[[int], object], count: int) -> float:
    """CPU seconds per image: the minimum over rounds, each over all images."""
    best = float("inf")
    for _ in range(_ROUNDS.value):
        start = time.thread_time()
        for i in range(count):
            stage(i)
        best = min(best, (time.thread_time() - start) / count)
    return best


def stages(source: loader.Source, crop: tuple[int, int], batch: int) -> dict[str, float]:
    """CPU milliseconds per image of each stage, in one thread."""
    cv2.setNumThreads(0)
    count = len(source)
    encoded = [source.encoded(i) for i in range(count)]
    images = [records.decode_image(e["image"], "") for e in encoded]
    raws = [records.decode_label(e["label"], "") for e in encoded]
    spec: LabelSpec = source.labels
    labels = [spec.encode(raw, "") for raw in raws]
    plain, jittered = Transform(crop), Transform(crop, Augment(jitter=0.3))
    rng = np.random.default_rng(0)
    draws = [plain.draw(rng, *label.shape) for label in labels]
    coloured = [jittered.draw(rng, *label.shape) for label in labels]
    views = [
        plain.crop_then_scale(draws[i % count], images[i % count], labels[i % count])
        for i in range(batch)
    ]
    table: dict[str, Callable[[int], object]] = {
        "read the record": lambda i: source.encoded(i),
        "decode the image": lambda i: records.decode_image(encoded[i]["image"], ""),
        "decode the label": lambda i: records.decode_label(encoded[i]["label"], ""),
        "raw ids to train ids": lambda i: spec.encode(raws[i], ""),
        "crop, scale, pad, flip": lambda i: plain.crop_then_scale(draws[i], images[i], labels[i]),
        "stack into a batch": lambda i: (
            [np.stack(parts) for parts in zip(*views, strict=True)] if i % batch == 0 else None
        ),
        "(scale first instead)": lambda i: plain.scale_then_crop(draws[i], images[i], labels[i]),
        "(with colour jitter)": lambda i: jittered.crop_then_scale(
            coloured[i], images[i], labels[i]
        ),
    }
    return {name: 1e3 * _least(stage, count) for name, stage in table.items()}


def whole(source: loader.Source, crop: tuple[int, int], threads: int) -> tuple[float, float]:
    """Images per second of wall time, and per CPU second of all threads."""
    batches = loader.train_iterator(
        source,
        batch_size=_BATCH.value,
        transform=Transform(crop),
        seed=0,
        threads=threads,
        prefetch=4 * threads,
    )
    for _ in range(3):
        next(batches)
    wall, cpu, images = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - wall < _SECONDS.value:
        images += next(batches)["image"].shape[0]
    return (
        images / (time.perf_counter() - wall),
        images / (time.process_time() - cpu),
    )


def main(arguments: Sequence[str]) -> None:
    """Draws and prepares the images, times the loader and prints the results."""
    if len(arguments) > 1:
        raise app.UsageError(f"{arguments[1]!r} is not a flag")
    height, width = (int(n) for n in _SIZE.value)
    crop = (int(_CROP.value[0]), int(_CROP.value[1]))
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        _draw(root, _EXAMPLES.value, (height, width))
        source = _prepare(root)
        bytes_each = sum(len(source.encoded(i)["image"]) for i in range(len(source))) / len(source)
        load = os.getloadavg()[0]
        print(
            f"{len(source)} JPEGs of {height} x {width} ({bytes_each / 1000:.0f} kB) -> crops of "
            f"{crop[0]} x {crop[1]}, scales 0.5 to 2; OpenCV {cv2.__version__}, load {load:.1f}"
        )
        times = stages(source, crop, _BATCH.value)
        total = sum(value for stage, value in times.items() if not stage.startswith("("))
        rows = [
            [stage, f"{value:.2f}", "" if stage.startswith("(") else percent(value / total, 0)]
            for stage, value in times.items()
        ]
        print(tables.aligned([*rows, ["sum", f"{total:.2f}", ""]], ["stage", "ms", "%"]))
        print(f"{1000 / total:.0f} images a CPU second")
        first = max((s for s in times if not s.startswith("(")), key=lambda s: times[s])
        print(f"What dominates: {first}.")
        gain = times["(scale first instead)"] / times["crop, scale, pad, flip"]
        print(f"Cropping first takes 1/{gain:.2f} of the time of scaling first.")
        for threads in dict.fromkeys([1, _THREADS.value]):
            wall, cpu = whole(source, crop, threads)
            print(
                f"Whole loader, {threads} threads: {wall:.0f} images/s by the clock, "
                f"{cpu:.0f} a CPU second"
            )


if __name__ == "__main__":
    app.run(main)
