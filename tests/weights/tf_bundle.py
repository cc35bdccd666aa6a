"""Writes TensorFlow's V2 checkpoints (tensor bundles) for tests, without TensorFlow."""

import struct

import google_crc32c
import numpy as np

TYPES = {
    "float32": 1,
    "float64": 2,
    "int32": 3,
    "uint8": 4,
    "int64": 9,
    "bool": 10,
    "bfloat16": 14,
    "float16": 19,
}
STRING = 7
MAGIC = 0xDB4775248B80FB57


def masked(data):
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(n):
    out = b""
    while n >= 0x80:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


def field(number, value):
    """A number, or bytes with their length."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def entry(dtype, shape, shard, offset, size, checksum, extra=b""):
    """A BundleEntryProto; zeros are left out, as protocol buffers do."""
    out = field(1, dtype)
    out += field(2, b"".join(field(2, field(1, n) if n else b"") for n in shape))
    for number, value in ((3, shard), (4, offset), (5, size)):
        out += field(number, value) if value else b""
    return out + varint(6 << 3 | 5) + struct.pack("<I", checksum) + extra


def block(pairs, interval=4, compression=0):
    """A block of a table: keys share what they begin with, but at each restart."""
    out, restarts, before = b"", [], b""
    for count, (key, value) in enumerate(pairs):
        shared = 0
        if count % interval == 0:
            restarts.append(len(out))
        else:
            while shared < min(len(key), len(before)) and key[shared] == before[shared]:
                shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value))
        out += key[shared:] + value
        before = key
    out += struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))
    out += bytes([compression])
    return out + struct.pack("<I", masked(out))


def table(pairs, per_block=5, compression=0):
    """A sorted table of (key, value)."""
    out, index = b"", []
    pairs = sorted(pairs)
    for start in range(0, len(pairs), per_block):
        part = pairs[start : start + per_block]
        made = block(part, compression=compression)
        index.append((part[-1][0], varint(len(out)) + varint(len(made) - 5)))
        out += made
    places = []
    for pairs in ([], index):
        made = block(pairs)
        places.append(varint(len(out)) + varint(len(made) - 5))
        out += made
    return out + b"".join(places).ljust(40, b"\0") + struct.pack("<Q", MAGIC)


def write(prefix, arrays, *, shards=1, extra=b"", compression=0, header=b""):
    """A checkpoint of arrays by name; every second one in the second shard, and so on.

    Args:
      prefix: path that the files' names begin with.
      arrays: name -> array; bytes are written as a string tensor.
      shards: how many files of data.
      extra: bytes after each entry.
      compression: what each block says of itself.
      header: bytes after the header.
    """
    data = [b""] * shards
    pairs = [(b"", field(1, shards) + header)]
    for number, (name, array) in enumerate(arrays.items()):
        shard = number % shards
        raw = array if isinstance(array, bytes) else np.ascontiguousarray(array).tobytes()
        dtype = STRING if isinstance(array, bytes) else TYPES[str(array.dtype)]
        shape = () if isinstance(array, bytes) else array.shape
        value = entry(dtype, shape, shard, len(data[shard]), len(raw), masked(raw), extra)
        pairs.append((name.encode(), value))
        data[shard] += raw
    index = prefix.with_name(f"{prefix.name}.index")
    index.write_bytes(table(pairs, compression=compression))
    for number, part in enumerate(data):
        path = prefix.with_name(f"{prefix.name}.data-{number:05d}-of-{shards:05d}")
        path.write_bytes(part)
