import json
import subprocess
import sys

import numpy as np
import pytest

from jaxseg.data import frames, loader, source
from jaxseg.data.augment.settings import Augment
from jaxseg.data.augment.transforms import Transform
from tests.conftest import ROOT

TRANSFORM = Transform((48, 40), Augment(jitter=0.2))


@pytest.fixture(scope="module")
def train(shapes_dir):
    return loader.open_split("shapes/small", "train", shapes_dir)


def iterator(train, batch_size=8, *, seed=3, threads=2, **processes):
    return loader.train_iterator(
        train,
        batch_size=batch_size,
        transform=TRANSFORM,
        seed=seed,
        threads=threads,
        prefetch=8,
        **processes,
    )


def take(batches, count):
    return [next(batches) for _ in range(count)]


def assert_equal(one, two):
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a["image"], b["image"])
        np.testing.assert_array_equal(a["label"], b["label"])


def test_source(train):
    assert len(train) == 23
    assert train.largest == (64, 64)
    assert train.labels.num_classes == 7
    example = train[5]
    assert example["name"] == "train_00005"
    assert (example["image"].shape, example["image"].dtype) == ((64, 64, 3), np.uint8)
    assert set(np.unique(example["label"])) <= {*range(7), 255}


def test_a_batch_is_uint8(train):
    batch = next(iterator(train))
    assert (batch["image"].shape, batch["image"].dtype) == ((8, 48, 40, 3), np.uint8)
    assert (batch["label"].shape, batch["label"].dtype) == ((8, 48, 40), np.uint8)


def test_batches_depend_on_the_seed_and_not_on_threads(train):
    batches = take(iterator(train), 5)
    assert_equal(batches, take(iterator(train, threads=0), 5))
    assert_equal(batches, take(iterator(train, threads=7), 5))
    assert (next(iterator(train, seed=4))["image"] != batches[0]["image"]).any()


@pytest.mark.parametrize("done", [0, 1, 7])
@pytest.mark.newest
def test_resume_is_exact(train, done):
    straight = take(iterator(train), done + 4)
    stopped = iterator(train)
    take(stopped, done)
    state = json.loads(json.dumps(stopped.get_state()))  # as a checkpoint stores it
    resumed = iterator(train, threads=5)
    next(resumed)  # a restored iterator forgets what it had done
    resumed.set_state(state)
    assert_equal(take(resumed, 4), straight[done:])


@pytest.mark.parametrize("count", [2, 4])
def test_processes_share_out_the_same_batch(train, count):
    """Batch i is the same, in its order, for any number of processes; the state fits them all."""
    whole = iterator(train)
    shares = [iterator(train, process_index=p, process_count=count) for p in range(count)]
    for _ in range(4):
        batch, parts = next(whole), [next(share) for share in shares]
        for key in ("image", "label"):
            np.testing.assert_array_equal(np.concatenate([p[key] for p in parts]), batch[key])
    assert {json.dumps(share.get_state()) for share in shares} == {json.dumps(whole.get_state())}
    alone = iterator(train)
    alone.set_state(shares[0].get_state())
    assert_equal([next(alone)], [next(whole)])


def test_an_epoch_is_a_permutation_and_the_next_another():
    """Examples that hold their own number, seen through the stream."""
    count = 11
    images = [np.full((4, 4, 3), i, np.uint8) for i in range(count)]
    source = [{"image": image, "label": image[..., 0], "name": ""} for image in images]
    stream = loader.train_stream(source, Transform((4, 4), Augment(scale_range=(1.0, 1.0))), seed=0)
    orders = [[int(stream[e * count + i]["label"][0, 0]) for i in range(count)] for e in range(4)]
    assert all(sorted(order) == list(range(count)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4


def test_each_epoch_draws_again():
    """An example is cropped elsewhere in each epoch, independently of the order of requests."""
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    source = [{"image": image, "label": image[..., 0], "name": ""}]
    stream = loader.train_stream(source, Transform((8, 8)), seed=0)
    views = [stream[i]["image"].tobytes() for i in range(20)]
    assert len(set(views)) > 15
    assert [stream[i]["image"].tobytes() for i in reversed(range(20))] == views[::-1]


def test_batches_larger_than_the_set(train):
    assert next(iterator(train, 50))["image"].shape[0] == 50


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("limit", [0, 5])
def test_evaluation_sees_each_example_once(train, processes, limit):
    seen, batches = [], []
    for p in range(processes):
        own = list(
            loader.eval_batches(
                train,
                [frames.Group((65, 80), range(limit or 23), 6)],
                pad_value=(1, 2, 3),
                process_index=p,
                process_count=processes,
                threads=2,
            )
        )
        batches.append(len(own))
        for batch in own:
            assert batch["image"].shape == (6 // processes, 65, 80, 3)
            for i, index in enumerate(batch["index"]):
                if index < 0:
                    assert (batch["label"][i] == 255).all()
                    assert batch["height"][i] == batch["width"][i] == 0
                    continue
                seen.append(int(index))
                expected = train[int(index)]
                np.testing.assert_array_equal(batch["image"][i, :64, :64], expected["image"])
                np.testing.assert_array_equal(batch["label"][i, :64, :64], expected["label"])
                assert (batch["image"][i, 64:] == (1, 2, 3)).all()
                assert (batch["label"][i, :, 64:] == 255).all()
                assert (batch["height"][i], batch["width"][i]) == (64, 64)
    assert sorted(seen) == list(range(limit or 23))
    assert len(set(batches)) == 1


def test_evaluation_refuses_an_image_that_its_frame_does_not_hold(train):
    groups = [frames.Group((32, 64), [3, 4], 2)]
    with pytest.raises(ValueError, match=r"train_0000\d: an image of 64 x 64 does not fit in 32"):
        next(loader.eval_batches(train, groups, pad_value=(0, 0, 0)))


def test_the_groups_of_an_evaluation_follow_each_other_in_batches_of_their_own(train):
    groups = [frames.Group((64, 64), [5, 1, 7], 2), frames.Group((70, 66), [0], 1)]
    batches = list(loader.eval_batches(train, groups, pad_value=(9, 9, 9), threads=2))
    assert [batch["image"].shape[:3] for batch in batches] == [(2, 64, 64)] * 2 + [(1, 70, 66)]
    assert [batch["index"].tolist() for batch in batches] == [[5, 1], [7, -1], [0]]
    assert all(batch["index"].dtype == np.int64 for batch in batches)


def test_what_cannot_be(train):
    with pytest.raises(ValueError, match="batch_size 8 cannot be shared equally by 3"):
        iterator(train, 8, process_index=0, process_count=3)
    with pytest.raises(ValueError, match="process 2 of 2"):
        iterator(train, 8, process_index=2, process_count=2)
    with pytest.raises(ValueError, match="is empty"):
        iterator([])
    with pytest.raises(ValueError, match="not the state"):
        iterator(train).set_state({"next_index": 3})


def test_errors_before_reading_say_what_to_do(shapes_dir, tmp_path):
    with pytest.raises(ValueError, match=r"unknown data set 'camvit'; did you mean camvid"):
        loader.open_split("camvit", "train", shapes_dir)
    with pytest.raises(ValueError, match="has no split 'test'; it has: train, val"):
        loader.open_split("shapes/small", "test", shapes_dir)
    command = "python -m jaxseg.data.prepare --name=camvid --manual_dir=FOLDER --data_dir="
    with pytest.raises(FileNotFoundError, match=f"not prepared.*{command}"):
        loader.open_split("camvid", "train", shapes_dir)
    with pytest.raises(ValueError, match="called folder/NAME"):
        loader.open_split("folder", "train", shapes_dir)
    old = tmp_path / "shapes" / "0.9.0"
    old.mkdir(parents=True)
    (old / "dataset_info.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"version 0\.9\.0, but this code reads 1\.0\.0"):
        loader.open_split("shapes", "train", tmp_path)


def copied(shapes_dir, tmp_path):
    folder = source.prepared_folder("shapes/small", tmp_path)
    folder.mkdir(parents=True)
    for path in source.prepared_folder("shapes/small", shapes_dir).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize("fault", ["missing", "truncated", "empty", "count", "metadata"])
def test_damaged_sets_are_not_taken_for_complete(shapes_dir, tmp_path, fault):
    folder = copied(shapes_dir, tmp_path)
    (shard,) = folder.glob("*train*")
    if fault == "missing":
        shard.unlink()
    elif fault in ("truncated", "empty"):
        shard.write_bytes(shard.read_bytes()[: 1000 if fault == "truncated" else 0])
    elif fault == "count":
        info = folder / "dataset_info.json"
        info.write_text(info.read_text().replace('"23"', '"24"'))
    else:
        (folder / "metadata.json").unlink()
    with pytest.raises((ValueError, FileNotFoundError), match="prepare") as error:
        loader.open_split("shapes/small", "train", tmp_path)
    assert "\n" not in str(error.value)


def test_an_example_whose_ids_are_unknown_is_named(shapes_dir, tmp_path):
    folder = copied(shapes_dir, tmp_path)
    text = (folder / "metadata.json").read_text().replace(r"\"255\": 255", r"\"254\": 255")
    (folder / "metadata.json").write_text(text)
    broken = loader.open_split("shapes/small", "val", tmp_path)
    with pytest.raises(ValueError, match=r"shapes/small val val_00000: .*255 \(\d+ pixels\)"):
        broken[0]


def test_reading_starts_no_tensorflow_and_no_jax_backend(shapes_dir):
    program = f"""
import sys
from jaxseg.data import doctor, loader, prepare
from jaxseg.data.augment.transforms import Transform
train = loader.open_split("shapes/small", "train", {str(shapes_dir)!r})
small = Transform((8, 8))
next(loader.train_iterator(train, batch_size=2, transform=small, seed=0, threads=2, prefetch=2))
assert not [m for m in ("tensorflow", "flax", "jaxseg.config") if m in sys.modules]
from jax._src import xla_bridge
assert not xla_bridge._backends
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT)
    assert done.returncode == 0
