"""Which examples the training stream shows: doubled for hard classes, or drawn class by class."""

import json
import os

import numpy as np
import pytest

from jaxseg.data import class_sampling, loader, source
from jaxseg.data.augment.settings import Augment
from jaxseg.data.augment.transforms import Transform
from jaxseg.data.class_sampling import Plan, make_plan

TRANSFORM = Transform((24, 24), Augment(jitter=0.2))


@pytest.fixture
def train(shapes_dir, tmp_path):
    """The training split in a folder of the test's own, with what is kept beside it."""
    folder = source.prepared_folder("shapes/small", tmp_path)
    folder.mkdir(parents=True)
    for path in source.prepared_folder("shapes/small", shapes_dir).iterdir():
        if path.suffix != ".npy":
            (folder / path.name).write_bytes(path.read_bytes())
    return loader.open_split("shapes/small", "train", tmp_path)


def by_hand(train):
    return np.array(
        [
            [(train[i]["label"] == k).any() for k in range(train.labels.num_classes)]
            for i in range(len(train))
        ]
    )


def rarest(train):
    """The class in the fewest images, but in at least one."""
    images = by_hand(train).sum(axis=0)
    images[images == 0] = 1000
    return int(images.argmin())


def kept(train):
    return train.folder / "classes_train.npy"


def test_held_classes_are_those_of_the_masks_and_read_once(train, monkeypatch):
    held = class_sampling.held_classes(train)
    np.testing.assert_array_equal(held, by_hand(train))
    assert not held.all()
    assert kept(train).is_file()
    assert [path.name for path in train.folder.glob("*classes*")] == [kept(train).name]
    monkeypatch.setattr(source.Source, "label", lambda *_: pytest.fail("read again"))
    np.testing.assert_array_equal(class_sampling.held_classes(train), held)


@pytest.mark.parametrize("fault", ["truncated", "empty", "of another set"])
def test_a_broken_file_is_written_again(train, fault):
    held = class_sampling.held_classes(train)
    if fault == "of another set":
        np.save(kept(train), held[:-1])
    else:
        kept(train).write_bytes(kept(train).read_bytes()[: 100 if fault == "truncated" else 0])
    np.testing.assert_array_equal(class_sampling.held_classes(train), held)
    np.testing.assert_array_equal(np.load(kept(train)), held)


def test_a_folder_that_cannot_be_written_to_is_no_fault(train, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("read-only")

    monkeypatch.setattr(class_sampling.whole_file, "writing", refuse)
    np.testing.assert_array_equal(class_sampling.held_classes(train), by_hand(train))
    assert not kept(train).exists()


def test_a_write_that_fails_leaves_nothing(train, monkeypatch):
    def refuse(*_):
        raise OSError("no space left")

    monkeypatch.setattr(class_sampling.whole_file.os, "replace", refuse)
    class_sampling.held_classes(train)
    assert not [name for name in os.listdir(train.folder) if name.endswith(".npy")]


def test_nothing_is_read_where_nothing_is_asked(train, monkeypatch):
    monkeypatch.setattr(source.Source, "label", lambda *_: pytest.fail("read"))
    plan = make_plan(train)
    np.testing.assert_array_equal(plan.epoch, np.arange(len(train)))
    assert plan.classes == ()


def test_images_of_hard_classes_are_duplicated(train):
    held = by_hand(train)
    hard = [rarest(train), int(held.sum(axis=0).argsort()[1])]
    names = [train.labels.names[k] for k in hard]
    plan = make_plan(train, duplicate=names)
    counts = np.bincount(plan.epoch, minlength=len(train))
    np.testing.assert_array_equal(counts, 1 + held[:, hard].any(axis=1))
    np.testing.assert_array_equal(make_plan(train, duplicate=[",".join(names)]).epoch, plan.epoch)
    stream = loader.train_stream(
        Numbers(len(train)), Transform((4, 4), Augment(scale_range=(1.0, 1.0))), 0, plan
    )
    for epoch in range(2):
        first = epoch * len(plan.epoch)
        shown = [int(stream[first + i]["label"][0, 0]) for i in range(len(plan.epoch))]
        np.testing.assert_array_equal(np.bincount(shown, minlength=len(train)), counts)


class Numbers:
    """Examples that hold their own number."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        label = np.full((4, 4), index, np.uint8)
        return {"image": np.repeat(label[..., None], 3, axis=2), "label": label, "name": ""}


def test_balanced_classes_are_equally_likely():
    """Class 0 in ten images, class 1 in one; an image of none is never drawn."""
    plan = Plan(np.arange(12), (np.arange(10), np.array([10])))
    stream = loader.train_stream(
        Numbers(12), Transform((4, 4), Augment(scale_range=(1.0, 1.0))), 0, plan
    )
    shown = np.array([stream[p]["label"][0, 0] for p in range(2000)])
    assert abs(np.mean(shown == 10) - 0.5) < 4 * 0.5 / 2000**0.5
    counts = np.bincount(shown, minlength=12)
    assert counts[11] == 0
    assert counts[:10].min() > 60
    assert [int(stream[p]["label"][0, 0]) for p in (3, 1999, 0)] == shown[[3, 1999, 0]].tolist()
    other = loader.train_stream(
        Numbers(12), Transform((4, 4), Augment(scale_range=(1.0, 1.0))), 1, plan
    )
    assert [other[p]["label"][0, 0] for p in range(60)] != shown[:60].tolist()


def test_a_balanced_plan_has_the_images_of_each_class(train):
    held = by_hand(train)
    plan = make_plan(train, balance=True)
    there = np.flatnonzero(held.any(axis=0))
    assert len(plan.classes) == len(there)
    for k, examples in zip(there, plan.classes, strict=True):
        np.testing.assert_array_equal(examples, np.flatnonzero(held[:, k]))
    name = train.labels.names[rarest(train)]
    both = make_plan(train, balance=True, duplicate=[name])
    assert len(both.classes[list(there).index(rarest(train))]) == 2 * held[:, rarest(train)].sum()


@pytest.mark.parametrize("how", ["duplicate", "balance"])
def test_any_number_of_threads_and_processes_and_any_resumption_sees_the_same(train, how):
    names = [train.labels.names[rarest(train)]] if how == "duplicate" else []
    plan = make_plan(train, duplicate=names, balance=how == "balance")

    def batches(threads=0, **processes):
        return loader.train_iterator(
            train,
            batch_size=6,
            transform=TRANSFORM,
            seed=3,
            threads=threads,
            prefetch=4,
            plan=plan,
            **processes,
        )

    straight = batches()
    expected = [next(straight) for _ in range(8)]
    threaded = batches(threads=5)
    shares = [batches(threads=2, process_index=p, process_count=2) for p in range(2)]
    for batch in expected:
        parts = [next(share) for share in shares]
        alone = next(threaded)
        for key in ("image", "label"):
            np.testing.assert_array_equal(np.concatenate([p[key] for p in parts]), batch[key])
            np.testing.assert_array_equal(alone[key], batch[key])
    stopped = batches()
    for _ in range(5):
        next(stopped)
    resumed = batches(threads=3)
    resumed.set_state(json.loads(json.dumps(stopped.get_state())))
    for batch in expected[5:]:
        np.testing.assert_array_equal(next(resumed)["image"], batch["image"])


def test_the_order_without_a_plan_is_unchanged():
    """The numbers are those of the code before plans."""
    stream = loader.train_stream(
        Numbers(9), Transform((4, 4), Augment(scale_range=(1.0, 1.0))), seed=5
    )
    assert [int(stream[p]["label"][0, 0]) for p in range(12)] == [
        3,
        2,
        4,
        8,
        1,
        0,
        6,
        5,
        7,
        7,
        6,
        1,
    ]


def test_what_cannot_be(train):
    words = r"data\.duplicate: shapes/small has no class 'ringg'"
    with pytest.raises(ValueError, match=words) as error:
        make_plan(train, duplicate=["ringg"])
    for name in train.labels.names:
        assert name in str(error.value)
    assert "\n" not in str(error.value)
    there = by_hand(train)
    there[:, 2] = False
    np.save(kept(train), there)
    name = train.labels.names[2]
    with pytest.raises(ValueError, match=f"no image of shapes/small train has {name}"):
        make_plan(train, duplicate=[name])
    np.save(kept(train), np.zeros_like(there))
    with pytest.raises(ValueError, match=r"data\.balance: no image of shapes/small train has a"):
        make_plan(train, balance=True)
