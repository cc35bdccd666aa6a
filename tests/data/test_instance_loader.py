"""Batches of images with objects: the loader's contract, canvases that are turned, evaluation."""

import json

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from jaxseg.data import instance_facts, instance_loader, instances, source
from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.data.augment.instance_transforms import InstanceTransform
from jaxseg.data.prepare import prepare
from jaxseg.ignore import IGNORE
from tests.data.conftest import save_pair

AUGMENT = InstanceAugment(objects=5, short_side=(32, 40, 48), long_side=64, jitter=0.2, crop=0.8)
TRANSFORM = InstanceTransform((48, 64), AUGMENT)
STANDING = (1, 4, 5)  # of twelve images
EMPTY = (2, 7)
COUNT = 12


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Twelve own images, three of which stand; two without an object to train on."""
    root = tmp_path_factory.mktemp("own")
    images, annotations = [], []
    for i in range(COUNT):
        height, width = (40, 30) if i in STANDING else (30, 40)
        save_pair(root / "images" / f"{i:02d}.png", root / "unused.png", i, (height, width))
        images.append({"id": i, "file_name": f"{i:02d}.png", "height": height, "width": width})
        for k in range(i % 3 + 1):
            x, y = 3 + 7 * k, 4 + 5 * k
            square = [[x, y, x + 9, y, x + 9, y + 8, x, y + 8]]
            crowd = int(i in EMPTY)
            one = {"image_id": i, "category_id": 1 + k, "segmentation": square, "iscrowd": crowd}
            annotations.append(one | {"id": len(annotations)})
    categories = [{"id": k, "name": f"kind {k}"} for k in (1, 2, 3)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "train.json").write_text(json.dumps(content))
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        given = [f"--images={root / 'images'}", f"--annotations=train={root / 'train.json'}"]
        flags.FLAGS(["x", *given, "--val_share=0"])
        prepare.prepare("folder/own", root)
    return source.open_instances("folder/own", "train", root)


def iterator(opened, batch_size=4, *, seed=3, threads=2, transform=TRANSFORM, **processes):
    return instance_loader.train_iterator(
        opened,
        batch_size=batch_size,
        transform=transform,
        seed=seed,
        threads=threads,
        prefetch=8,
        **processes,
    )


def take(batches, count):
    return [next(batches) for _ in range(count)]


def assert_equal(one, two):
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_a_batch_has_the_shapes_that_the_networks_take(opened):
    for batch in take(iterator(opened), 6):
        height, width = batch["image"].shape[1:3]
        assert (height, width) in ((48, 64), (64, 48))
        shapes = {name: (value.shape, value.dtype.name) for name, value in batch.items()}
        assert shapes == {
            "image": ((4, height, width, 3), "uint8"),
            "size": ((4, 2), "int32"),
            "boxes": ((4, 5, 4), "float32"),
            "classes": ((4, 5), "int32"),
            "valid": ((4, 5), "bool"),
            "masks": ((4, 5, height, width // 8), "uint8"),
            "index": ((4,), "int64"),
        }
        assert batch["valid"].any(axis=1).all()
        assert (batch["classes"] > 0).tolist() == batch["valid"].tolist()
        assert (batch["size"] <= (height, width)).all()
        assert not {*batch["index"].tolist()} & {*EMPTY}


def test_batches_depend_on_the_seed_and_not_on_threads(opened):
    batches = take(iterator(opened), 5)
    assert_equal(batches, take(iterator(opened, threads=0), 5))
    assert_equal(batches, take(iterator(opened, threads=7), 5))
    assert (next(iterator(opened, seed=4))["image"] != batches[0]["image"]).any()


@pytest.mark.parametrize("done", [0, 1, 7])
@pytest.mark.newest
def test_resume_is_exact(opened, done):
    straight = take(iterator(opened), done + 4)
    stopped = iterator(opened)
    take(stopped, done)
    state = json.loads(json.dumps(stopped.get_state()))  # as a checkpoint stores it
    resumed = iterator(opened, threads=5)
    next(resumed)
    resumed.set_state(state)
    assert_equal(take(resumed, 4), straight[done:])


def test_processes_share_out_the_same_batch(opened):
    whole = iterator(opened)
    shares = [iterator(opened, process_index=p, process_count=2) for p in range(2)]
    for _ in range(5):
        batch, parts = next(whole), [next(share) for share in shares]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in batch}
        assert_equal([joined], [batch])


def test_a_batch_has_one_canvas_and_an_epoch_every_image(opened):
    """Of ten images three stand: of ten batches of one example three do, and so on."""
    stream = instance_loader.train_stream(opened, TRANSFORM, seed=0, batch_size=1)
    elements = [stream[p] for p in range(30)]
    for start in (0, 10, 20):
        epoch = [int(each["index"]) for each in elements[start : start + 10]]
        assert sorted(epoch) == [i for i in range(COUNT) if i not in EMPTY]
    for each in elements:
        stands = each["image"].shape[0] > each["image"].shape[1]
        assert stands == (int(each["index"]) in STANDING)
    orders = [tuple(int(e["index"]) for e in elements[s : s + 10]) for s in (0, 10, 20)]
    assert len(set(orders)) == 3


def test_a_square_canvas_mixes_them(opened):
    augment = InstanceAugment(objects=5, short_side=(48,), long_side=64)
    stream = instance_loader.train_stream(
        opened, InstanceTransform((64, 64), augment), 0, batch_size=10
    )
    assert {stream[p]["image"].shape for p in range(10)} == {(64, 64, 3)}
    assert sorted(int(stream[p]["index"]) for p in range(10)) == [
        i for i in range(COUNT) if i not in EMPTY
    ]


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("batch_size", [2, 4])
def test_evaluation_sees_each_image_once(opened, processes, batch_size):
    seen, batches = [], []
    of_canvas = instance_loader.groups(
        opened, COUNT, TRANSFORM, batch_size=batch_size, multiple=processes
    )
    for p in range(processes):
        own = list(
            instance_loader.eval_batches(
                opened, of_canvas, TRANSFORM, process_index=p, process_count=processes
            )
        )
        batches.append(len(own))
        for batch in own:
            for i, index in enumerate(batch["index"].tolist()):
                if index < 0:
                    assert not batch["size"][i].any()
                    assert (batch["image"][i] == 128).all()
                    continue
                seen.append(index)
                alone = TRANSFORM.evaluated(opened[index]["image"])
                np.testing.assert_array_equal(batch["image"][i], alone["image"])
                assert batch["original"][i].tolist() == list(opened.size(index))
                assert sorted(batch["size"][i].tolist()) == [48, 64]
    assert sorted(seen) == list(range(COUNT))
    assert len(set(batches)) == 1


def test_the_facts_are_kept_beside_the_set(opened):
    facts = instance_facts.facts_of(opened)
    assert facts.sizes[4].tolist() == [40, 30]
    expected = [0 if i in EMPTY else i % 3 + 1 for i in range(COUNT)]
    assert facts.objects.tolist() == expected
    path = opened.folder / "objects_train.npy"
    kept = np.load(path)
    path.write_bytes(b"damaged")
    np.testing.assert_array_equal(instance_facts.facts_of(opened).objects, facts.objects)
    np.testing.assert_array_equal(np.load(path), kept)


def test_without_an_object_there_is_nothing_to_train_on(opened, monkeypatch):
    monkeypatch.setattr(instance_facts, "usable", lambda objects: np.zeros(len(objects), bool))
    monkeypatch.setattr(np, "load", lambda path: np.zeros(0))
    with pytest.raises(ValueError, match="no object to train on"):
        next(iterator(opened))


def test_masks_of_any_width_come_back():
    rng = np.random.default_rng(0)
    for width in (1, 7, 8, 30, 65):
        mask = rng.random((3, 5, width)) < 0.5
        np.testing.assert_array_equal(instances.unpacked(np.packbits(mask, axis=-1), width), mask)


def test_batches_hold_the_classes_of_pixels_where_they_are_asked_for(tmp_path):
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        flags.FLAGS(["x", "--shapes_size=48", "--shapes_train=4", "--shapes_val=2"])
        prepare.prepare("shapes/instances", tmp_path)
    drawn = source.open_instances("shapes/instances", "val", tmp_path)
    transform = InstanceTransform((48, 64), InstanceAugment(short_side=(48,), long_side=64))
    plain, both = (
        next(iterator(drawn, 2, transform=transform, semantic=semantic))
        for semantic in (False, True)
    )
    semantic = both.pop("semantic")
    assert plain.keys() == both.keys()
    for name, array in plain.items():
        np.testing.assert_array_equal(array, both[name])
    assert semantic.shape == (2, 48, 64)
    assert (semantic[:, :, 48:] == IGNORE).all()  # beyond the image
    things = instances.unpacked(both["masks"], 64).any(axis=1)
    assert (semantic[things] == 0).all()
    assert (semantic[:, :, :48] <= 1).all()
    assert (semantic == 1).any()


def test_a_set_without_stuff_has_no_classes_of_pixels(opened):
    with pytest.raises(ValueError, match="the set has no classes of stuff"):
        opened.semantic(0)
