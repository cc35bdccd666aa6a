"""Pickles as torch.save writes them, opcode by opcode, in the archive that holds them."""

import struct
import zipfile


def global_(module, name):
    return f"c{module}\n{name}\n".encode()


def text(text):
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def number(value):
    return b"J" + struct.pack("<i", value)


def tuple_(*items):
    return b"(" + b"".join(items) + b"t"


def dict_(items):
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def tensor(kind, key, count, offset, shape, strides):
    pid = tuple_(text("storage"), global_("torch", kind), text(key), text("cpu"), number(count))
    hooks = global_("collections", "OrderedDict") + b")R"
    arguments = tuple_(
        pid + b"Q",
        number(offset),
        tuple_(*map(number, shape)),
        tuple_(*map(number, strides)),
        b"\x89",
        hooks,
    )
    return global_("torch._utils", "_rebuild_tensor_v2") + arguments + b"R"


def write(path, body, storages, order=b"little", compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + body + b".")
        archive.writestr("archive/byteorder", order)
        for key, array in storages.items():
            archive.writestr(f"archive/data/{key}", array.tobytes(), compression)
    return path
