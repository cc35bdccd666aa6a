"""CamVid with all its labels, small; its splits against SegNet's lists."""

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import loader, source
from jaxseg.data.builders import camvid, camvid32
from jaxseg.data.prepare import prepare
from tests.data.conftest import save_pair

SPLITS = {
    "0001TP_006690": "train",
    "0001TP_008520": "train",
    "0001TP_008550": "test",
    "0006R0_f00930": "train",
    "0016E5_07959": "val",
    "0016E5_08159": "val",
    "0016E5_08190": "train",
    "0016E5_00390": "train",
    "Seq05VD_f05100": "test",
}


@pytest.fixture
def root(tmp_path):
    colours = np.array([*camvid32.LABELS.palette, camvid32.VOID], np.uint8)
    for i, name in enumerate(SPLITS):
        mask = tmp_path / "LabeledApproved_full" / f"{name}_L.png"
        save_pair(tmp_path / "701_StillsRaw_full" / f"{name}.png", mask, i)
        Image.fromarray(colours[np.arange(24 * 32).reshape(24, 32) % 32]).save(mask)
    return tmp_path


def run(command, root):
    return command(
        prepare.main, "--name=camvid32", f"--manual_dir={root}", f"--data_dir={root / 'd'}"
    )


def test_colours_become_ids_and_sequences_splits(command, root):
    status, out, err = run(command, root)
    assert status == 0, err
    assert "train 5 of 367 published, val 2 of 101 published, test 2 of 233 published" in out
    for split in ("train", "val", "test"):
        opened = loader.open_split("camvid32", split, root / "d")
        names = [opened[i]["name"] for i in range(len(opened))]
        assert names == sorted(name for name, own in SPLITS.items() if own == split)
        np.testing.assert_array_equal(opened[0]["label"][3], [*range(31), 255])


def test_classes_and_colours_agree_with_those_of_eleven_classes():
    assert camvid32.LABELS.num_classes == 31
    fine = dict(zip(map(str.lower, camvid32.LABELS.names), camvid32.LABELS.palette, strict=True))
    coarse = dict(zip(camvid.LABELS.names, camvid.LABELS.palette, strict=True))
    same = set(fine) & set(coarse)
    assert len(same) == 9
    assert all(fine[name] == coarse[name] for name in same)
    assert fine["column_pole"] == coarse["pole"]


def test_every_fault_is_named(command, root):
    odd = root / "LabeledApproved_full" / "0006R0_f00930_L.png"
    Image.new("RGB", (32, 24), (1, 2, 3)).save(odd)
    (root / "LabeledApproved_full" / "0016E5_07959_L.png").unlink()
    status, _, err = run(command, root)
    assert status == 1
    assert "2 problems, nothing was prepared" in err
    assert f"{odd} holds colours that no class has: 1,2,3 (768 pixels)" in err
    assert "0016E5_07959_L.png is missing" in err
    assert not source.is_prepared(source.prepared_folder("camvid32", root / "d"))
    odd.rename(odd.with_name("other_L.png"))
    odd.with_name("more_L.png").write_bytes(b"")
    wrong = ": more is not an image of CamVid, other is not an image of CamVid\n"
    assert wrong in run(command, root)[2]


def test_splits_are_those_of_segnets_lists(shared):
    published = camvid.find(shared / "data" / "camvid")
    assert {"train", "val"} <= set(published.splits)
    for split, found in published.splits.items():
        assert {camvid32.split_of(pair.name) for pair in found} == {split}
