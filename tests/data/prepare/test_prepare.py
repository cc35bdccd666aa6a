import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from jaxseg.data import builders, loader, records, source
from jaxseg.data.builders import camvid, shapes, voc2012
from jaxseg.data.doctor import doctor
from jaxseg.data.pairing import inspection, layout, pairs
from jaxseg.data.prepare import prepare, published_sets
from tests.data.conftest import save_pair


def files(folder: pathlib.Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_shapes_from_one_command_and_again(command, tmp_path):
    arguments = [
        "--name=shapes/a",
        f"--data_dir={tmp_path}",
        "--shapes_size=32",
        "--shapes_train=5",
        "--shapes_val=3",
    ]
    status, out, err = command(prepare.main, *arguments)
    assert status == 0
    assert out.startswith("Prepared shapes/a: train 5 (up to 32 x 32), val 3 (up to 32 x 32);")
    assert "shapes train: 5/5 images" in err
    before = files(tmp_path)
    status, out, err = command(prepare.main, *arguments, f"--export={tmp_path / 'out'}")
    assert status == 0
    assert out.startswith("Already prepared: shapes/a")
    assert "images" not in err
    exported = sorted((tmp_path / "out").iterdir())
    assert [p.name for p in exported] == [f"val_0000{i}.png" for i in range(3)]
    image, label = shapes.draw_example(0, "val", 1, 32)
    np.testing.assert_array_equal(np.asarray(Image.open(exported[1])), image)
    val = loader.open_split("shapes/a", "val", tmp_path)
    np.testing.assert_array_equal(val[1]["label"], label)
    status, _, err = command(prepare.main, *arguments, "--overwrite")
    assert status == 0
    assert "shapes train: 5/5 images" in err
    after = files(tmp_path)
    assert {k: v for k, v in after.items() if k in before} == before  # bit for bit


def test_camvid_keeps_the_published_bytes(command, camvid_dir, tmp_path):
    status, out, _ = command(
        prepare.main, "--name=camvid", f"--manual_dir={camvid_dir}", f"--data_dir={tmp_path}"
    )
    assert status == 0
    assert "found train 4 of 367 published, val 2 of 101 published, test 0 of 233" in out
    train = loader.open_split("camvid", "train", tmp_path)
    assert len(train) == 4
    for i in range(4):
        example = train.encoded(i)
        assert example["name"] == f"train{i}"
        assert example["image"] == (camvid_dir / "train" / f"train{i}.png").read_bytes()
        assert example["label"] == (camvid_dir / "trainannot" / f"train{i}.png").read_bytes()
    assert train.labels == camvid.LABELS
    assert not (tmp_path / "camvid" / "checked.jsonl").exists()


def voc_dir(root):
    """VOCdevkit with 2 trainaug and 1 val image; palette masks with a void border."""
    for i, (split, masks) in enumerate(
        [("trainaug", "SegmentationClassAug")] * 2 + [("val", "SegmentationClass")]
    ):
        base = root / "VOC2012"
        mask = base / masks / f"n{i}.png"
        ids = save_pair(base / "JPEGImages" / f"n{i}.jpg", mask, i)
        ids[0] = 255
        palette = Image.fromarray(ids).convert("P")
        palette.putdata(ids.ravel().tolist())
        palette.putpalette(np.array(voc2012.voc_palette(256), np.uint8).tobytes())
        palette.save(mask)
        lists = base / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True, exist_ok=True)
        with (lists / f"{split}.txt").open("a") as file:
            file.write(f"n{i}\n")
    return root


def test_voc_palettes_become_ids(command, tmp_path):
    root = voc_dir(tmp_path / "VOCdevkit")
    status, out, _ = command(
        prepare.main, "--name=voc2012", f"--manual_dir={tmp_path}", f"--data_dir={tmp_path / 'd'}"
    )
    assert status == 0
    assert "trainaug 2 of 10582 published, val 1 of 1449 published, train 0 of 1464" in out
    val = loader.open_split("voc2012", "val", tmp_path / "d")
    expected = np.asarray(Image.open(root / "VOC2012" / "SegmentationClass" / "n2.png"))
    np.testing.assert_array_equal(val[0]["label"], expected)
    assert (val[0]["label"][0] == 255).all()


def test_every_fault_is_named_and_nothing_is_written(command, camvid_dir, tmp_path):
    train, masks = camvid_dir / "train", camvid_dir / "trainannot"
    (train / "train0.png").write_bytes((train / "train0.png").read_bytes()[:300])
    (masks / "train1.png").unlink()
    Image.new("L", (5, 5)).save(masks / "train2.png")
    ids = np.array(Image.open(masks / "train3.png"))
    ids[0, 0] = 77
    Image.fromarray(ids).save(masks / "train3.png")
    with (camvid_dir / "val.txt").open("a") as file:
        file.write("/SegNet/CamVid/val/val0.png /SegNet/CamVid/valannot/val0.png\n")
        file.write("/SegNet/CamVid/train/train3.png /SegNet/CamVid/trainannot/train3.png\n")
    arguments = ["--name=camvid", f"--manual_dir={camvid_dir}", f"--data_dir={tmp_path / 'd'}"]
    status, _, err = command(prepare.main, *arguments)
    assert status == 1
    for part in (
        "6 problems, nothing was prepared",
        "train0.png is truncated",
        "train1.png is missing",
        "train2.png is 5 x 5, but its image is 24 x 32",
        "train3.png holds ids without a class: 77 (1 pixels)",
        "val0.png is 2 times in val",
        "train3.png is both in train and in val",
    ):
        assert part in err
    with pytest.raises(FileNotFoundError, match="not prepared"):
        loader.open_split("camvid", "train", tmp_path / "d")


def test_checked_files_are_not_decoded_again(camvid_dir, tmp_path, monkeypatch):
    published = camvid.find(camvid_dir)
    journal = tmp_path / "checked.jsonl"
    broken = camvid_dir / "train" / "train2.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:200])
    with pytest.raises(ValueError, match="1 problem,"):
        pairs.check(published, journal)
    with journal.open("a") as file:
        file.write('{"stamp": "cut off by a ki')  # as a killed process leaves it
    broken.write_bytes(whole)
    decoded = []
    inspect = inspection.inspect
    monkeypatch.setattr(inspection, "inspect", lambda p, c: decoded.append(p.name) or inspect(p, c))
    assert pairs.check(published, journal) == {"train": (24, 32), "val": (24, 32)}
    assert decoded == ["train2"]


def test_an_interrupted_writer_leaves_nothing_that_counts(
    camvid_dir, tmp_path, command, monkeypatch
):
    arguments = ["--name=camvid", f"--manual_dir={camvid_dir}", f"--data_dir={tmp_path / 'd'}"]
    monkeypatch.setattr(
        records, "encode_label", lambda raw: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    monkeypatch.setattr(records, "keeps_label", lambda data: False)
    status, _, err = command(prepare.main, *arguments)
    assert status == 1
    assert "the same command resumes it" in err
    assert not source.is_prepared(source.prepared_folder("camvid", tmp_path / "d"))
    monkeypatch.undo()
    assert command(prepare.main, *arguments)[0] == 0
    left = sorted(p.name for p in (tmp_path / "d" / "camvid").iterdir())
    assert left == ["1.0.0"]


def test_a_failed_overwrite_keeps_the_old_set(camvid_dir, tmp_path, command):
    arguments = ["--name=camvid", f"--manual_dir={camvid_dir}", f"--data_dir={tmp_path / 'd'}"]
    assert command(prepare.main, *arguments)[0] == 0
    (camvid_dir / "val" / "val0.png").unlink()
    assert command(prepare.main, *arguments, "--overwrite")[0] == 1
    assert len(loader.open_split("camvid", "val", tmp_path / "d")) == 2


def test_the_names_that_are_told_are_those_that_can_be_prepared():
    assert {*published_sets.SETS, "shapes", "folder"} == set(builders.VERSIONS)
    variants = {kind: tuple(filter(None, of.variants)) for kind, of in published_sets.SETS.items()}
    assert {kind: found for kind, found in variants.items() if found} == builders.VARIANTS


@pytest.mark.parametrize("name", published_sets.SETS)
def test_missing_files_give_one_line_with_the_layout(command, tmp_path, name):
    for given in ([], [f"--manual_dir={tmp_path / 'nowhere'}"], [f"--manual_dir={tmp_path}"]):
        status, _, err = command(prepare.main, f"--name={name}", f"--data_dir={tmp_path}", *given)
        assert status == 1
        assert err.count("\n") == 1
        assert published_sets.SETS[name].layout in err


def test_wrong_flags(command):
    assert command(prepare.main)[0] == 2
    status, _, err = command(prepare.main, "--name=shape")
    assert status == 1
    assert err == (
        "jaxseg: unknown data set 'shape'; did you mean shapes, cityscapes? "
        f"(known: {', '.join(builders.VERSIONS)})\n"
    )
    assert command(prepare.main, "--name=folder/x")[0] == 1


@pytest.fixture
def own(tmp_path):
    """Six pairs whose masks are coded by colour, and their classes."""
    for i in range(6):
        path = tmp_path / "masks" / f"{i}.png"
        ids = save_pair(tmp_path / "images" / f"{i}.jpg", path, i)
        Image.fromarray(np.array([(9, 0, 0), (0, 9, 0), (0, 0, 0)], np.uint8)[ids]).save(path)
    (tmp_path / "classes.txt").write_text("red 9 0 0\ngreen 0 9 0\nvoid 0 0 0\n")
    return [
        "--name=folder/own",
        f"--images={tmp_path / 'images'}",
        f"--masks={tmp_path / 'masks'}",
        f"--classes={tmp_path / 'classes.txt'}",
        f"--data_dir={tmp_path / 'd'}",
        "--val_share=0.34",
    ]


def test_your_own_folders_by_colour(command, own, tmp_path):
    status, out, _ = command(prepare.main, *own)
    assert status == 0
    assert "found train 4, val 2" in out
    val = loader.open_split("folder/own", "val", tmp_path / "d")
    assert val.labels.names == ("red", "green")
    for i in range(2):
        example = val[i]
        ids = save_pair(tmp_path / "x.png", tmp_path / "y.png", int(example["name"]))
        np.testing.assert_array_equal(example["label"], np.where(ids == 2, 255, ids))


def test_sixteen_bit_ids(tmp_path, command, own):
    for path in (tmp_path / "masks").iterdir():
        ids = save_pair(tmp_path / "x.png", tmp_path / "y.png", int(path.stem))
        Image.fromarray(ids.astype(np.uint16) * 1000).save(path)
    (tmp_path / "classes.txt").write_text("0 a\n1000 b\n2000 c\n")
    assert command(prepare.main, *own)[0] == 0
    example = loader.open_split("folder/own", "train", tmp_path / "d")[0]
    ids = save_pair(tmp_path / "x.png", tmp_path / "y.png", int(example["name"]))
    np.testing.assert_array_equal(example["label"], ids)


def test_doctor_on_published_and_prepared_agree(command, camvid_dir, tmp_path):
    raw = command(
        doctor.main,
        "--name=camvid",
        f"--manual_dir={camvid_dir}",
        f"--picture={tmp_path / 'a.png'}",
    )
    assert raw[0] == 0
    assert "No problems were found." in raw[1]
    assert Image.open(tmp_path / "a.png").size[0] > 500
    arguments = ["--name=camvid", f"--data_dir={tmp_path / 'd'}"]
    status, _, err = command(doctor.main, *arguments)
    assert status == 1
    assert "python -m jaxseg.data.prepare --name=camvid" in err
    assert command(prepare.main, *arguments, f"--manual_dir={camvid_dir}")[0] == 0
    prepared = command(doctor.main, *arguments, "--picture=none")
    assert prepared[0] == 0

    def counts(text):
        return [line for line in text.splitlines() if not line.startswith(("  masks", "Picture"))]

    assert counts(prepared[1]) == counts(raw[1])


def test_doctor_finds_what_is_wrong(command, camvid_dir):
    masks = camvid_dir / "trainannot"
    ids = np.array(Image.open(masks / "train0.png"))
    ids[0, :3] = 99
    Image.fromarray(ids).save(masks / "train0.png")
    Image.fromarray(ids).convert("P").save(masks / "train1.png")
    Image.new("L", (9, 9)).save(masks / "train2.png")
    same = Image.open(camvid_dir / "train" / "train3.png")
    same.save(camvid_dir / "val" / "val1.png", compress_level=0)  # other bytes, same pixels
    (camvid_dir / "val" / "val0.png").write_bytes(b"")
    status, out, _ = command(
        doctor.main, "--name=camvid", f"--manual_dir={camvid_dir}", "--picture=none"
    )
    assert status == 1
    assert "train: id 99 is in no class" in out
    assert "train0" in out
    assert "the mask is 9 x 9, but the image 24 x 32" in out
    assert "grey 8 bit (3), palette (1: train1)" in out
    assert "the same image: train train3, val val1" in out
    assert "val0.png is not an image" in out


def test_doctor_needs_no_classes(command, own):
    arguments = [flag for flag in own if not flag.startswith("--classes")]
    status, out, _ = command(doctor.main, *arguments, "--picture=none")
    assert status == 1
    assert "is encoded by colours" in out
    assert "9,0,0 (" in out


def test_the_splits_of_the_builders_are_the_published():
    assert camvid.OFFICIAL == {"train": 367, "val": 101, "test": 233}
    assert voc2012.OFFICIAL == {"train": 1464, "trainaug": 10582, "val": 1449}
    assert set(layout.SPLITS.values()) == {"train", "val", "test"}


@pytest.mark.parametrize("name", ["camvid", "voc2012"])
def test_real_files(command, shared, tmp_path, name):
    """A few real files of each split, through prepare and the reader, against Pillow."""
    original = shared / "data" / ("camvid" if name == "camvid" else "VOCdevkit/VOC2012")
    root = tmp_path / "VOC2012"
    lists = {"camvid": "", "voc2012": "ImageSets/Segmentation"}[name]
    for path in original.iterdir():
        (root / path.name).parent.mkdir(exist_ok=True)
        if path.is_dir():
            (root / path.name).symlink_to(path)
    if lists:
        (root / "ImageSets").unlink()
        (root / lists).mkdir(parents=True)
    for path in (original / lists).glob("*.txt"):
        lines = path.read_text().splitlines()
        (root / lists / path.name).write_text("\n".join(lines[:: len(lines) // 5][:5]) + "\n")
    arguments = [f"--name={name}", f"--data_dir={tmp_path / 'd'}"]
    assert command(prepare.main, *arguments, f"--manual_dir={root}")[0] == 0
    spec = published_sets.SETS[name].find("", root)
    for split, found in spec.splits.items():
        opened = loader.open_split(name, split, tmp_path / "d")
        assert len(opened) == len(found) == 5
        for i, pair in enumerate(found):
            raw = np.asarray(Image.open(pair.mask))
            void = 11 if name == "camvid" else 255
            np.testing.assert_array_equal(opened[i]["label"], np.where(raw == void, 255, raw))
            assert opened.encoded(i)["image"] == pair.image.read_bytes()
    assert command(doctor.main, *arguments, "--picture=none")[0] == 0
    json.loads((source.prepared_folder(name, tmp_path / "d") / "metadata.json").read_text())


def test_an_empty_list_is_a_problem(command, camvid_dir, tmp_path):
    (camvid_dir / "val.txt").write_text("\n")
    arguments = ["--name=camvid", f"--manual_dir={camvid_dir}", f"--data_dir={tmp_path / 'd'}"]
    status, _, err = command(prepare.main, *arguments)
    assert status == 1
    assert "1 problem, nothing was prepared" in err
    assert "val lists no images" in err
