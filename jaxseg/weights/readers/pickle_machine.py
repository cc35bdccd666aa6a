"""Interprets the content of a pickle without executing it.

A pickle is a program for a stack machine: it names functions, calls them, and changes what they
return. The machine below only operates the stack. A name becomes `Named`, a call becomes `Call`,
and the result is a description made of numbers, strings, tuples, lists and these two, without any
function, type or array. The reader of a file format then converts the description to what that
format contains, from values that it has checked. Time and memory are bounded by the number of
opcodes. A description may share its parts: a hundred nested tuples, each of which contains the
previous one twice, are a hundred small tuples. Therefore it is never hashed, compared or printed as
a whole.
"""

import dataclasses
import io
import pickletools
from collections.abc import Callable
from typing import Any

_MOST_OPCODES = 1_000_000  # a checkpoint of 2,000 tensors and their optimiser has about 200,000
_MOST_BITS = 2048  # of an integer; longer ones are slow to print
_SHOWN = 100  # characters of a name or value in a message


class Refused(ValueError):
    """It is not a pickle, or it uses something that is not supported here."""


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Named:
    """A global that the pickle names: a function or class, which is not looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return shown(f"{self.module}.{self.name}")


@dataclasses.dataclass(slots=True, eq=False)
class Table:
    """A dictionary, as (key, value) pairs in the order of assignment."""

    pairs: list[tuple[Any, Any]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True, eq=False)
class Call:
    """The result of a call, which is not executed.

    Attributes:
      function: nearly always a `Named`.
      arguments: a tuple if the pickle is well-formed.
      items: appended or added to the result.
      pairs: set in the result.
      state: of the last BUILD, which would have changed the result.
    """

    function: Any
    arguments: Any
    items: list[Any] = dataclasses.field(default_factory=list)
    pairs: list[tuple[Any, Any]] = dataclasses.field(default_factory=list)
    state: Any = None


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Persistent:
    """An object outside of the pickle, with an identifier."""

    identifier: Any


def shown(value: Any, longest: int = _SHOWN) -> str:
    """A value for a message: one line, without the content of a description."""
    if isinstance(value, str):
        text = value[: longest + 1].replace("\n", " ")
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    elif value is None or isinstance(value, bool | int | float | Named):
        text = str(value)
    elif isinstance(value, Call):
        text = (
            f"a call of {shown(value.function)}" if isinstance(value.function, Named) else "a call"
        )
    else:
        kinds = {Table: "a dictionary", Persistent: "a storage", bytes: "bytes"}
        text = kinds.get(type(value)) or f"a {type(value).__name__}"
    return text if len(text) <= longest else f"{text[:longest]}..."


class _Machine:
    """The stack of one pickle, with its marks and memo."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.names: dict[str, Named] = {}  # all names used, in order

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise Refused("its stack is empty")
        return self.stack.pop()

    def top(self) -> Any:
        value = self.pop()
        self.stack.append(value)
        return value

    def pop_to_mark(self) -> list[Any]:
        if not self.marks:
            raise Refused("it refers to a mark that it has not set")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def name(self, module: Any, name: Any) -> Named:
        if not isinstance(module, str) or not isinstance(name, str):
            raise Refused("it uses a name that is not text")
        return self.names.setdefault(f"{module} {name}", Named(module, name))

    def put(self, index: int) -> None:
        self.memo[index] = self.top()

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise Refused(f"it takes value {index} from its memo, which holds none")
        self.push(self.memo[index])

    def extend(self, values: list[Any]) -> None:
        target = self.top()
        if isinstance(target, list):
            target.extend(values)
        elif isinstance(target, Call):
            target.items.extend(values)
        else:
            raise Refused(f"it appends to {shown(target)}")

    def set_pairs(self, values: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, Table | Call):
            raise Refused(f"it sets items of {shown(target)}")
        target.pairs.extend(_pairs(values))

    def build(self) -> None:
        state, target = self.pop(), self.top()
        if not isinstance(target, Call):
            raise Refused(f"it changes the state of {shown(target)}")
        target.state = state

    def call(self, count: int) -> None:
        """REDUCE, NEWOBJ and NEWOBJ_EX: a function and its `count` arguments."""
        given = [self.pop() for _ in range(count)][::-1]
        self.push(Call(self.pop(), given[0] if count == 1 else tuple(given)))

    def object(self) -> None:
        function, *arguments = self.pop_to_mark() or [None]
        self.push(Call(function, tuple(arguments)))

    def instance(self, named: str) -> None:
        arguments = tuple(self.pop_to_mark())
        self.push(Call(self.name(*_two(named)), arguments))

    def tuple(self, count: int) -> None:
        self.push(tuple([self.pop() for _ in range(count)][::-1]))

    def stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        self.push(self.name(module, name))


def _two(named: str) -> tuple[str, str]:
    """Module and name, which pickletools joins by a space."""
    module, _, name = named.partition(" ")
    return module, name


def _pairs(values: list[Any]) -> list[tuple[Any, Any]]:
    if len(values) % 2:
        raise Refused("it sets a key without a value")
    return list(zip(values[::2], values[1::2], strict=True))


def _number(value: int) -> int:
    if value.bit_length() > _MOST_BITS:
        raise Refused(f"a whole number of {value.bit_length()} bits")
    return value


_Step = Callable[[_Machine, Any], object]

# Opcodes that are not listed, those of the extension registry and of out-of-band buffers, are
# refused. Arguments are parsed, and so bounded by the file, in pickletools.
_STEPS: dict[str, _Step] = {
    "PROTO": lambda m, a: None,
    "FRAME": lambda m, a: None,
    "MARK": lambda m, a: m.marks.append(len(m.stack)),
    "POP": lambda m, a: m.pop(),
    "POP_MARK": lambda m, a: m.pop_to_mark(),
    "DUP": lambda m, a: m.push(m.top()),
    "NONE": lambda m, a: m.push(None),
    "NEWTRUE": lambda m, a: m.push(True),
    "NEWFALSE": lambda m, a: m.push(False),
    **dict.fromkeys(
        ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
        lambda m, a: m.push(_number(a)),
    ),
    **dict.fromkeys(
        ("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE"),
        lambda m, a: m.push(a),
    ),
    **dict.fromkeys(
        (
            "BINUNICODE",
            "SHORT_BINUNICODE",
            "BINUNICODE8",
            "BINBYTES",
            "SHORT_BINBYTES",
            "BINBYTES8",
        ),
        lambda m, a: m.push(a),
    ),
    "BYTEARRAY8": lambda m, a: m.push(bytes(a)),
    "EMPTY_TUPLE": lambda m, a: m.push(()),
    "TUPLE": lambda m, a: m.push(tuple(m.pop_to_mark())),
    "TUPLE1": lambda m, a: m.tuple(1),
    "TUPLE2": lambda m, a: m.tuple(2),
    "TUPLE3": lambda m, a: m.tuple(3),
    "EMPTY_LIST": lambda m, a: m.push([]),
    "LIST": lambda m, a: m.push(m.pop_to_mark()),
    "APPEND": lambda m, a: m.extend([m.pop()]),
    "APPENDS": lambda m, a: m.extend(m.pop_to_mark()),
    "EMPTY_DICT": lambda m, a: m.push(Table()),
    "DICT": lambda m, a: m.push(Table(_pairs(m.pop_to_mark()))),
    "SETITEM": lambda m, a: m.set_pairs([m.pop(), m.pop()][::-1]),
    "SETITEMS": lambda m, a: m.set_pairs(m.pop_to_mark()),
    "EMPTY_SET": lambda m, a: m.push([]),
    "ADDITEMS": lambda m, a: m.extend(m.pop_to_mark()),
    "FROZENSET": lambda m, a: m.push(m.pop_to_mark()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda m, a: m.put(a)),
    "MEMOIZE": lambda m, a: m.put(len(m.memo)),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), lambda m, a: m.get(a)),
    "GLOBAL": lambda m, a: m.push(m.name(*_two(a))),
    "STACK_GLOBAL": lambda m, a: m.stack_global(),
    "REDUCE": lambda m, a: m.call(1),
    "NEWOBJ": lambda m, a: m.call(1),
    "NEWOBJ_EX": lambda m, a: m.call(2),
    "OBJ": lambda m, a: m.object(),
    "INST": lambda m, a: m.instance(a),
    "BUILD": lambda m, a: m.build(),
    "PERSID": lambda m, a: m.push(Persistent(a)),
    "BINPERSID": lambda m, a: m.push(Persistent(m.pop())),
}


def describe(content: bytes) -> tuple[Any, list[Named]]:
    """The description of a pickle's content, and all names that it uses.

    Lists and sets are lists; a bytearray is bytes; a string of Python 2 is text in Latin-1.

    Raises:
      Refused: it is not a pickle, is truncated, or is too long.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(io.BytesIO(content))):
            if count >= _MOST_OPCODES:
                raise Refused(f"its pickle has more than {_MOST_OPCODES:,} opcodes")
            if opcode.name == "STOP":
                return machine.pop(), list(machine.names.values())
            if opcode.name not in _STEPS:
                raise Refused(
                    f"its pickle has the opcode {opcode.name}, which is not supported here"
                )
            _STEPS[opcode.name](machine, argument)
    except Refused:
        raise
    except (ValueError, IndexError, OverflowError, UnicodeDecodeError) as error:
        reason = f"its pickle cannot be read: {type(error).__name__}: {str(error)[:_SHOWN]}"
        raise Refused(" ".join(reason.split())) from error
    raise Refused("its pickle has no end")
