"""CRC-32C (Castagnoli) of bytes, in NumPy: the checksum of TensorFlow's checkpoint files.

Byte after byte it would take minutes for a network. But a CRC is linear over bits: for a message
of two parts, crc(A B) = (crc(A) moved on by the length of B) xor crc(B), with both started at 0.
So the bytes are cut into rows, all rows go through a table of two bytes together, and their
results are joined pairwise. 200 MB take a few seconds.
"""

import functools

import numpy as np

_POLYNOMIAL = np.uint32(0x82F63B78)  # reflected
_ROW = 1024  # bytes of a row; the smaller, the more rows at once
_MASK = 0xA282EAD8


@functools.cache
def _table() -> np.ndarray:
    """What each value of two bytes makes of a register."""
    values = np.arange(1 << 16, dtype=np.uint32)
    for _ in range(16):
        values = np.where(values & 1, (values >> 1) ^ _POLYNOMIAL, values >> 1)
    return values


@functools.cache
def _moves(length: int) -> np.ndarray:
    """What each bit of a register has become after `length` zeros, a power of two: [32]."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    if length == 1:
        return np.where(bits < 256, _table()[bits << 8 & 0xFFFF], bits >> 8)
    if length <= _ROW:
        return _run(bits, np.zeros((length // 2, 1), np.uint16))
    return _moved(_moves(length // 2), length // 2)


def _moved(registers: np.ndarray, length: int) -> np.ndarray:
    """The registers after `length` more zeros, a power of two."""
    moved = np.zeros_like(registers)
    for bit, value in enumerate(_moves(length)):
        moved ^= np.where((registers >> np.uint32(bit)) & 1, value, np.uint32(0))
    return moved


def _run(registers: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The registers [n] after the pairs of bytes [length / 2, n or 1], one of each at a time."""
    table = _table()
    for column in columns:
        registers = table[(registers ^ column) & 0xFFFF] ^ (registers >> 16)
    return registers


def crc32c(data: bytes | memoryview | np.ndarray) -> int:
    """The CRC-32C of bytes."""
    values = np.frombuffer(data, np.uint8)
    # In front, as a register of 0 does not see zeros; the true start is added at the end.
    whole = 1 << max(0, (-(-values.size // _ROW) - 1)).bit_length()
    padded = np.zeros((whole, _ROW), np.uint8)
    padded.reshape(-1)[whole * _ROW - values.size :] = values
    columns = np.ascontiguousarray(padded.view("<u2").T)
    registers, length = _run(np.zeros(whole, np.uint32), columns), _ROW
    while registers.size > 1:
        registers = _moved(registers[::2], length) ^ registers[1::2]
        length *= 2
    start = _at(np.uint32(0xFFFFFFFF), values.size)
    return int(registers[0] ^ start ^ np.uint32(0xFFFFFFFF))


def _at(register: np.uint32, length: int) -> np.uint32:
    """A register after any number of bytes of zeros."""
    moved = np.array([register])
    power = 1
    while length:
        if length & 1:
            moved = _moved(moved, power)
        length, power = length >> 1, power << 1
    return moved[0]


def unmasked(stored: int) -> int:
    """The checksum behind the form in which TensorFlow and LevelDB store it."""
    rotated = (stored - _MASK) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF
