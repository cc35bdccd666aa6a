"""`evaluate` and the PNGs of `predict` give the same counts for each image in any batch."""

import dataclasses
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxseg import config
from jaxseg.data.labels import LabelSpec, voc_palette
from jaxseg.evaluation import split
from jaxseg.inference import image_files, protocols
from jaxseg.types import IGNORE

MEAN, STD, CROP = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0), (33, 41)
PIXELS = config.Normalisation(MEAN, STD)
NAMES = ("ground", "red", "blue")
LABELS = LabelSpec(NAMES, voc_palette(3), {0: 0, 1: 1, 2: 2, 255: IGNORE})


class Stage(nn.Module):
    """Features at an output stride, which protocols change; parameters do not depend on it."""

    output_stride: int = 8

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(6, (3, 3), strides=2, padding=1)(x))
        rate = max(1, 8 // self.output_stride * 2)
        steps = min(self.output_stride // 2, 2)
        return nn.relu(nn.Conv(8, (3, 3), strides=steps, padding=rate, kernel_dilation=rate)(x))


class Context(nn.Module):
    """Scores depend on the mean over the whole frame, so frames of different sizes differ."""

    num_classes: int = 3
    backbone: Stage = Stage()

    @nn.compact
    def __call__(self, images, *, train):
        x = self.backbone(images)
        whole = jnp.broadcast_to(x.mean((1, 2), keepdims=True), x.shape)
        x = nn.Conv(self.num_classes, (1, 1))(jnp.concatenate([x, 2 * whole], -1))
        shape = (*images.shape[:3], self.num_classes)
        return {"logits": jax.image.resize(x, shape, "bilinear")}


class Files:
    """A split of image files and their labels."""

    labels = LABELS

    def __init__(self, examples):
        self.examples = examples
        self.largest = tuple(np.max([e["label"].shape for e in examples], axis=0).tolist())

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, index):
        return self.examples[index]


def made(folder, sizes, seed):
    """Writes files of the given sizes: patches of colour with noise."""
    rng = np.random.default_rng(seed)
    examples = []
    folder.mkdir()
    for i, (height, width) in enumerate(sizes):
        label = np.kron(rng.integers(0, 3, (40, 40)), np.ones((8, 8))).astype(np.uint8)
        label = label[:height, :width]
        image = np.asarray(LABELS.colour(label)) // 2 + rng.integers(0, 128, (height, width, 3))
        label[rng.random(label.shape) < 0.05] = IGNORE
        name = f"{i}"
        Image.fromarray(image.astype(np.uint8)).save(folder / f"{name}.png")
        examples.append({"image": image.astype(np.uint8), "label": label, "name": name})
    return examples


# Smaller than the crop, together with larger ones, and with one in another frame; irregular sizes.
SETS = {
    "small": [(20, 31), (33, 41), (7, 40)],
    "mixed": [(33, 29), (35, 60), (201, 43), (34, 61), (161, 170)],
    "wide": [(31, 301), (64, 299), (33, 170)],
}


def small(protocol):
    """Returns a paper's protocol with sizes divided by 16, for images of these sizes."""
    sizes = {
        name: tuple(-(-side // 16) for side in getattr(protocol, name))
        for name in ("size", "crop_size")
    }
    return dataclasses.replace(
        protocol, **sizes, margin=protocol.margin // 16, long_side=protocol.long_side // 8
    )


def start():
    return Context().init(jax.random.key(3), jnp.zeros((1, 33, 41, 3)), train=False)


def evaluated(examples, protocol, variables):
    return split.evaluate(
        Context(),
        variables,
        Files(examples),
        protocol=protocol,
        normalisation=PIXELS,
        crop=CROP,
        threads=0,
        progress=False,
    )


def counted(examples, protocol, variables, folder):
    """Counts int64 [N, 3, 3] from the PNGs that `predict` writes for the files."""
    output = folder.with_name(f"{folder.name}_out")
    done = image_files.predict_files(
        variables,
        Context(),
        LABELS,
        [folder],
        output,
        protocol,
        PIXELS,
        crop=CROP,
        progress=False,
    )
    assert sorted(done.written) == sorted(example["name"] for example in examples)
    counts = np.zeros((len(examples), 3, 3), np.int64)
    for count, example in zip(counts, examples, strict=True):
        png = Image.open(output / "labels" / f"{example['name']}.png")
        valid = example["label"] != IGNORE
        np.add.at(count, (example["label"][valid], np.asarray(png)[valid]), 1)
    return counts


def hold(folder: pathlib.Path, name: str, protocol: config.Eval) -> None:
    examples, variables = made(folder, SETS[name], seed=len(name)), start()
    whole = evaluated(examples, protocol, variables)
    assert (whole.confusion.sum(axis=0) > 0).sum() >= 2  # predicts more than one class
    counts = counted(examples, protocol, variables, folder)
    np.testing.assert_array_equal(whole.per_image.matrices(), counts)
    for chosen in ([0], [len(examples) - 1, 0]):  # any subset, in any order
        part = evaluated([examples[i] for i in chosen], protocol, variables)
        np.testing.assert_array_equal(part.per_image.matrices(), counts[chosen])
    for batch_size in (1, 2):
        other = dataclasses.replace(protocol, batch_size=batch_size)
        found = evaluated(examples, other, variables)
        np.testing.assert_array_equal(found.per_image.matrices(), counts)


@pytest.mark.parametrize("name", SETS)
def test_whole_images_have_the_same_counts_in_evaluate_and_predict(tmp_path, name):
    hold(tmp_path / "images", name, config.Eval())


PAPERS = [name for name in protocols.PROTOCOLS if not protocols.PROTOCOLS[name].crf]


@pytest.mark.slow
@pytest.mark.parametrize("paper", PAPERS)
def test_every_protocol_has_the_same_counts_in_evaluate_and_predict(tmp_path, paper):
    name = list(SETS)[PAPERS.index(paper) % len(SETS)]
    hold(tmp_path / "images", name, small(protocols.PROTOCOLS[paper]))


@pytest.mark.slow
@pytest.mark.parametrize("paper", ["deeplab_v1", "deeplab_v2"])
def test_a_crf_has_the_same_counts_in_evaluate_and_predict(tmp_path, paper):
    hold(tmp_path / "images", "small", small(protocols.PROTOCOLS[paper]))


def test_counts_would_differ_in_another_frame(tmp_path):
    """Checks the premise of the tests above: the network's scores depend on the padding."""
    examples = made(tmp_path / "images", SETS["mixed"], seed=5)
    own = evaluated(examples, config.Eval(), start()).per_image.matrices()
    common = evaluated(examples, config.Eval(size=(201, 170)), start()).per_image.matrices()
    assert (own != common).any(axis=(1, 2)).sum() >= 3
