"""Checksums for the leaves of a saved tree, to verify what is restored.

The checksum is CRC-32 (zlib), which detects every change of up to 32 consecutive bits.

It is computed from the array's bytes in memory, so that it covers everything in between:
compression, files, the disk. A sharded array has one checksum per block, so that no process reads
blocks that it does not hold. Blocks that no device holds as a whole after a start on other devices
are `uncovered`.
"""

import concurrent.futures
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jaxseg.runtime import gather

Index = tuple[tuple[int, int], ...]  # (start, stop) of each axis
_THREADS = 8  # zlib releases Python's global lock
_OWN = "checksum"  # the key of a record's own checksum


def of_bytes(array: Any) -> int:
    """CRC-32 of an array's bytes in C order."""
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def of_json(value: Any) -> int:
    """CRC-32 of a JSON value, independent of the order of its keys."""
    plain = json.loads(json.dumps(value))
    return zlib.crc32(json.dumps(plain, sort_keys=True).encode())


def paths(tree: Any) -> dict[str, Any]:
    """The leaves by path, such as "params/conv1/kernel"."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _index(slices: Iterable[slice], shape: tuple[int, ...]) -> Index:
    return tuple(slice_.indices(size)[:2] for slice_, size in zip(slices, shape, strict=True))


def _whole(shape: tuple[int, ...]) -> Index:
    return tuple((0, size) for size in shape)


def _owned(leaf: Any) -> Iterator[tuple[Index, Any]]:
    """The blocks of a leaf for which this process is responsible; each has one such process."""
    if not isinstance(leaf, jax.Array):
        yield _whole(np.shape(leaf)), leaf
    elif leaf.is_fully_replicated:
        if jax.process_index() == 0:
            yield _whole(leaf.shape), leaf.addressable_data(0)
    else:
        for shard in leaf.addressable_shards:
            if shard.replica_id == 0:
                yield _index(shard.index, leaf.shape), shard.data


def _parallel(arrays: list[Any]) -> list[int]:
    with concurrent.futures.ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        return list(pool.map(of_bytes, arrays))


def record(state: Any, iterator: Mapping[str, Any]) -> dict[str, Any]:
    """Shape, dtype and checksums of every leaf of `state`, and that of `iterator`, as JSON values.

    All processes must call it; each gets the complete record.

    Args:
      state: arrays with any sharding.
      iterator: JSON values.
    """
    leaves = paths(state)
    own = [(path, index, data) for path, leaf in leaves.items() for index, data in _owned(leaf)]
    sums = _parallel([data for _, _, data in own])
    blocks = [(path, index, crc) for (path, index, _), crc in zip(own, sums, strict=True)]
    if any(isinstance(x, jax.Array) and not x.is_fully_replicated for x in leaves.values()):
        blocks = _gathered(blocks)
    described: dict[str, Any] = {
        path: {"dtype": np.dtype(leaf.dtype).name, "shape": list(leaf.shape), "blocks": []}
        for path, leaf in leaves.items()
    }
    for path, index, crc in blocks:
        described[path]["blocks"].append([[list(ends) for ends in index], crc])
    values = {"algorithm": "crc32", "leaves": described, "iterator": of_json(dict(iterator))}
    return values | {_OWN: of_json(values)}


def _gathered(blocks: list[Any]) -> list[Any]:
    """The blocks of all processes."""
    every = gather.bytes_of_all(json.dumps(blocks).encode())
    return [block for one in every for block in json.loads(one)]


def check_record(values: Any) -> None:
    """Raises ValueError unless `values` is a valid record made by `record`."""
    if not isinstance(values, dict) or not isinstance(values.get("leaves"), dict):
        raise ValueError("its checksums are not a record of checksums")
    rest = {key: value for key, value in values.items() if key != _OWN}
    if values.get(_OWN) != of_json(rest):
        raise ValueError("its checksums are damaged")


def check_types(metadata: Any, values: Mapping[str, Any]) -> None:
    """Raises ValueError if shapes and dtypes are not the recorded ones.

    Args:
      metadata: tree of shapes and dtypes, from the checkpoint's metadata.
      values: a valid `record`.
    """
    saved = {path: (tuple(v["shape"]), v["dtype"]) for path, v in values["leaves"].items()}
    there = {
        path: (tuple(leaf.shape), np.dtype(leaf.dtype).name)
        for path, leaf in paths(metadata).items()
    }
    for path in sorted(saved.keys() | there.keys()):
        if saved.get(path) != there.get(path):
            raise ValueError(f"its metadata of {path} is not what was saved")


def _part(held: Mapping[Index, Any], index: Index) -> Any | None:
    """The block, cut from a held block that contains it; None if there is none."""
    if index in held:
        return held[index]
    for outer, data in held.items():
        if _contains(outer, index):
            cut = [slice(a - o, b - o) for (a, b), (o, _) in zip(index, outer, strict=True)]
            return np.asarray(data)[tuple(cut)]
    return None


def _contains(outer: Index, inner: Index) -> bool:
    return all(o <= a and b <= p for (o, p), (a, b) in zip(outer, inner, strict=True))


def _held(leaf: Any) -> dict[Index, Any]:
    if not isinstance(leaf, jax.Array):
        return {_whole(np.shape(leaf)): leaf}
    return {_index(shard.index, leaf.shape): shard.data for shard in leaf.addressable_shards}


def _recorded(values: Mapping[str, Any], path: str) -> dict[Index, int]:
    blocks = values["leaves"][path]["blocks"]
    return {tuple((start, stop) for start, stop in index): crc for index, crc in blocks}


def uncovered(tree: Any, values: Mapping[str, Any]) -> list[str]:
    """The leaves with a block that no device holds as a whole; the same in all processes."""
    found = []
    for path, leaf in paths(tree).items():
        if not isinstance(leaf, jax.Array):
            continue
        places = leaf.sharding.devices_indices_map(leaf.shape).values()
        held = {_index(place, leaf.shape) for place in places}
        blocks = _recorded(values, path)
        if not all(any(_contains(outer, index) for outer in held) for index in blocks):
            found.append(path)
    return found


def differing(tree: Any, values: Mapping[str, Any]) -> list[str]:
    """The leaves with a block on this process whose checksum differs from the saved one.

    Args:
      tree: a restored state or a part of it, with any sharding.
      values: a valid `record` that includes these leaves.
    """
    parts: list[tuple[str, int, Any]] = []
    for path, leaf in paths(tree).items():
        held = _held(leaf)
        for index, crc in _recorded(values, path).items():
            data = _part(held, index)
            if data is not None:
                parts.append((path, crc, data))
    sums = _parallel([data for _, _, data in parts])
    wrong = [path for (path, crc, _), now in zip(parts, sums, strict=True) if crc != now]
    return list(dict.fromkeys(wrong))
