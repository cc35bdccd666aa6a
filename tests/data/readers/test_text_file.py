import pytest

from jaxseg.data.builders import camvid, voc2012
from jaxseg.data.readers import text_file


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_marks_and_line_ends_are_not_part_of_the_text(tmp_path, encoding, end):
    path = tmp_path / "list.txt"
    path.write_bytes(end.join(["é 1", "", " b ", ""]).encode(encoding))
    assert text_file.lines(path) == [(1, "é 1"), (3, "b")]
    assert text_file.names(path) == ["é", "1", "b"]


def test_what_is_not_text_is_named(tmp_path):
    for data in (b"a\xff", "a".encode("utf-16-le"), b"\xff\xfea"):
        (tmp_path / "list.txt").write_bytes(data)
        with pytest.raises(ValueError, match=r"list\.txt is not a text file in UTF-.*in UTF-8"):
            text_file.read(tmp_path / "list.txt")


def test_published_lists_with_a_mark(tmp_path, camvid_dir):
    """As an editor on Windows saves them: before, the first image "was missing"."""
    for split in ("train", "val"):
        path = camvid_dir / f"{split}.txt"
        path.write_text(path.read_text().replace("\n", "\r\n"), encoding="utf-8-sig")
    assert all(pair.image.is_file() for s in camvid.find(camvid_dir).splits.values() for pair in s)
    lists = tmp_path / "VOC2012" / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("2007_000033\r\n2007_000042\r\n", encoding="utf-16")
    found = voc2012.find(tmp_path)
    assert [pair.name for pair in found.splits["val"]] == ["2007_000033", "2007_000042"]
