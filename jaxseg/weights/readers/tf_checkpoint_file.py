"""Reads the arrays of a TensorFlow checkpoint (V2, since 1.0) by name, without TensorFlow.

A checkpoint "model.ckpt-30000" is several files. "model.ckpt-30000.index" is a sorted table in
LevelDB's format: name of a variable -> its type, shape, and where its bytes lie in the shards
"model.ckpt-30000.data-00000-of-00001". (".meta", the graph, is not needed.)

    table   blocks, then a footer of 48 bytes: the position of the index block, and a magic number
    block   entries, restart points, 1 byte for the compression, 4 bytes of checksum
    entry   bytes shared with the previous key, further bytes of the key, bytes of the value

Numbers are LEB128; values are protocol buffers (BundleHeaderProto, BundleEntryProto), of which a
few fields are read. TensorFlow does not compress these tables, so compressed ones are refused. Each
checksum (CRC-32C) is verified.
"""

import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import google_crc32c
import ml_dtypes
import numpy as np

from jaxseg.weights.readers import sizes
from jaxseg.weights.readers.pickle_machine import shown

_MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
_FOOTER = 48
_MASK = 0xA282EAD8  # of stored checksums
_TRAILER = 5  # after each block
_MOST_SHARDS = 100_000  # shard numbers have five digits
RESAVE = "save it again with tf.compat.v1.train.Saver().save(session, PREFIX)"
# DataType of tensorflow/core/framework/types.proto; strings and resources are not weights.
_TYPES = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    4: np.dtype("u1"),
    5: np.dtype("<i2"),
    6: np.dtype("i1"),
    9: np.dtype("<i8"),
    10: np.dtype("?"),
    14: np.dtype(ml_dtypes.bfloat16),
    19: np.dtype("<f2"),
}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types of protocol buffers


class _Place(NamedTuple):
    """The entry of a variable in the table."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int


def prefix_of(path: str | pathlib.Path) -> pathlib.Path | None:
    """The prefix of the checkpoint that a path names, itself or one of its files; else None."""
    path = pathlib.Path(path)
    name = path.name
    for end in (".index", ".meta"):
        name = name.removesuffix(end)
    prefix = path.with_name(name.partition(".data-")[0]) if name else path
    return prefix if _index(prefix).is_file() else None


def _index(prefix: pathlib.Path) -> pathlib.Path:
    return prefix.with_name(f"{prefix.name}.index")


def is_table(path: pathlib.Path) -> bool:
    """Whether the file ends like a LevelDB table, as also checkpoints of the older V1 format do."""
    with path.open("rb") as file:
        file.seek(-min(_FOOTER, path.stat().st_size), 2)
        return file.read().endswith(_MAGIC)


def files_of(prefix: pathlib.Path) -> list[pathlib.Path]:
    """The index and the shards next to it."""
    shards = sorted(prefix.parent.glob(f"{_escaped(prefix.name)}.data-*"))
    return [_index(prefix), *shards]


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A LEB128 number and the position after it."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("a number is truncated")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(number, value) of the fields of a protocol buffer."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(wire)
        if wire == _BYTES:
            size, at = _varint(data, at)
        if size is None or at + size > len(data):
            raise ValueError("an entry is truncated or of an unknown type")
        part = data[at : at + size]
        yield number, part if wire == _BYTES else int.from_bytes(part, "little")
        at += size


def _intact(data: bytes, stored: int) -> bool:
    """Whether bytes have the CRC-32C that TensorFlow and LevelDB store in masked form."""
    rotated = (stored - _MASK) & 0xFFFFFFFF
    return google_crc32c.value(data) == (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


def _block(table: memoryview, place: memoryview, what: str) -> memoryview:
    """The contents of the block at a position (offset, size), with its checksum verified."""
    offset, at = _varint(place, 0)
    size, _ = _varint(place, at)
    whole = table[offset : offset + size + _TRAILER]
    if len(whole) != size + _TRAILER or size < 4:
        raise ValueError(f"{what} reaches past the end of the file")
    if whole[size]:
        raise ValueError(f"its table is compressed, which TensorFlow never does; {RESAVE}")
    if not _intact(bytes(whole[: size + 1]), int.from_bytes(whole[size + 1 :], "little")):
        raise ValueError(f"{what} is damaged: its checksum differs")
    return whole[:size]


def _entries(block: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """(key, value) of a block."""
    restarts = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise ValueError("a block is too short")
    key, at = b"", 0
    while at < end:
        shared, at = _varint(block, at)
        more, at = _varint(block, at)
        size, at = _varint(block, at)
        if shared > len(key) or at + more + size > end:
            raise ValueError("an entry of a block is truncated")
        if shared + more > sizes.LONGEST_NAME:
            raise ValueError(f"a name in its index has {shared + more} bytes")
        key = key[:shared] + bytes(block[at : at + more])
        yield key, block[at + more : at + more + size]
        at += more + size


def _table(data: memoryview, budget: sizes.Budget) -> Iterator[tuple[bytes, memoryview]]:
    """All (key, value) of a table, in order."""
    footer = data[-_FOOTER:]
    if len(footer) < _FOOTER or footer[-8:] != _MAGIC:
        raise ValueError("truncated, or not an index of a TensorFlow checkpoint")
    _, at = _varint(footer, 0)  # skip the position of the metaindex block
    _, at = _varint(footer, at)
    left = len(data)  # blocks do not overlap
    for _, place in _entries(_block(data, footer[at:], "the index block")):
        block = _block(data, place, "a block")
        left -= len(block)
        if left < 0:
            raise ValueError("its blocks overlap")
        for key, value in _entries(block):
            budget.take(len(key), "the names in its index")
            yield key, value


def _number(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise ValueError("an entry has bytes instead of a number")
    return value


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ValueError("an entry has a number instead of bytes")
    return value


def _place(name: str, value: memoryview) -> _Place:
    """Parses a BundleEntryProto."""
    numbers = {1: 0, 3: 0, 4: 0, 5: 0, 6: 0}  # dtype, shard, offset, size, checksum
    shape: list[int] = []
    for field, part in _fields(value):
        if field == 2:  # TensorShapeProto: dimensions, each with a size
            for number, dimension in _fields(_bytes(part)):
                if number == 2:
                    lengths = [_number(v) for n, v in _fields(_bytes(dimension)) if n == 1]
                    shape.append(lengths[0] if lengths else 0)
            if len(shape) > sizes.MOST_DIMENSIONS:
                raise ValueError(f"{name} has more than {sizes.MOST_DIMENSIONS} dimensions")
        elif field == 7:
            raise ValueError(f"{name} is stored in slices (a partitioned variable); {RESAVE}")
        elif field in numbers:
            numbers[field] = _number(part)
    return _Place(numbers[1], tuple(shape), numbers[3], numbers[4], numbers[5], numbers[6])


def _shards(header: memoryview) -> int:
    """The number of shards in a BundleHeaderProto."""
    fields = dict(_fields(header))
    if fields.get(2):
        raise ValueError(f"its numbers are big-endian, which is not supported; {RESAVE}")
    return _number(fields.get(1, 1))


def read(prefix: str | pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint by name, without strings and other non-numeric values.

    Args:
      prefix: "model.ckpt-30000", with which the names of its files begin.

    Raises:
      FileNotFoundError: there is no index with this prefix, or a shard is missing.
      ValueError: a file, which is named, is truncated, damaged or not supported.
    """
    prefix = pathlib.Path(prefix)
    index = _index(prefix)
    if not index.is_file():
        raise FileNotFoundError(f"{index}: no such file")
    try:
        entries = dict(_table(memoryview(index.read_bytes()), sizes.Budget(index)))
        if b"" not in entries:
            raise ValueError("it has no header: not an index of a TensorFlow checkpoint")
        shards = _shards(entries.pop(b""))
        places = {k.decode(): _place(k.decode(errors="replace"), v) for k, v in entries.items()}
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{index}: {shown(str(error), 400)}") from error
    if shards > _MOST_SHARDS:
        raise ValueError(f"{index}: it says that there are {shards:,} shards")
    paths = [prefix.with_name(f"{prefix.name}.data-{n:05d}-of-{shards:05d}") for n in range(shards)]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file; {index.name} needs it")
    opened = [np.memmap(p, np.uint8, "r") if p.stat().st_size else np.empty(0, "u1") for p in paths]
    budget = sizes.Budget(*paths)
    found = {}
    for name, place in places.items():
        if place.dtype in _TYPES:
            if place.shard >= shards:
                raise ValueError(f"{index}: {shown(name)} is in shard {place.shard} of {shards}")
            path = paths[place.shard]
            try:
                budget.take(place.size, shown(name))
                found[name] = _array(shown(name), place, opened[place.shard])
            except (ValueError, OverflowError) as error:
                raise ValueError(f"{path}: {shown(str(error), 400)}") from error
    return found


def _array(name: str, place: _Place, shard: np.ndarray) -> np.ndarray:
    dtype = _TYPES[place.dtype]
    values = shard[place.offset : place.offset + place.size]
    if values.size != place.size:
        raise ValueError(f"truncated: {name} reaches past its end")
    if place.size != dtype.itemsize * int(np.prod(place.shape, dtype=object)):
        raise ValueError(f"{name} has {place.size} bytes, but its shape is {place.shape}")
    values = np.array(values)
    if not _intact(values.tobytes(), place.checksum):
        raise ValueError(f"{name} is damaged: its checksum differs")
    return values.view(dtype).reshape(place.shape)
