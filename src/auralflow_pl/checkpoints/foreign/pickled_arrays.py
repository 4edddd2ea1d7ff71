"""Read NumPy arrays from the pickle in a zip archive of `torch.save`, without unpickling.

The few opcodes that such a pickle needs are interpreted here. What it would import is compared with
a list of names and never imported.
"""

from __future__ import annotations

import math
import pickletools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auralflow_pl.checkpoints.archive import DAMAGED_ARCHIVE, archive_names
from auralflow_pl.checkpoints.contents import read_at_most
from auralflow_pl.errors import InputError, one_line, shown

PICKLE_NAME = "data.pkl"  # below a folder of any name

MAX_PICKLE_BYTES = 2**28

MAX_OPCODES = 2**16  # published files have 2300

MAX_ARRAY_AXES = 8

NUMBER_KINDS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1")

BYTE_ORDERS = ("<", ">", "|", "=")

TUPLE_SIZES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}

PLAIN_VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}

ARGUMENTS = ("BININT", "BININT1", "BININT2", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES",
    "SHORT_BINBYTES")  # fmt: skip


@dataclass(frozen=True)
class Imported:
    """Stands for something that the pickle imports."""

    name: str


RECONSTRUCT, ARRAY, TYPE, ENCODE = map(Imported, ("reconstruct", "array", "type", "encode"))

IMPORTS = {
    "numpy.core.multiarray _reconstruct": RECONSTRUCT,
    "numpy._core.multiarray _reconstruct": RECONSTRUCT,
    "numpy ndarray": ARRAY,
    "numpy dtype": TYPE,
    "_codecs encode": ENCODE,
}


@dataclass
class StoredType:
    """A number format; the byte order follows in a second step."""

    kind: str
    order: str = "="


@dataclass(eq=False)
class StoredArray:
    """An array whose content follows in a second step."""

    value: np.ndarray | None = None


class Mark:
    """The start of the values that a later opcode takes."""


def read_pickled_arrays(path: Path) -> dict[str, np.ndarray]:
    """Arrays by name in an archive that `torch.save` made of a dictionary of NumPy arrays.

    Raises:
        InputError: the file is damaged, or holds anything but arrays of numbers.
    """
    entries = [name for name in archive_names(path) if name.split("/")[1:] == [PICKLE_NAME]]
    if len(entries) != 1:
        raise InputError(f"{path.name}: damaged, or no archive of torch.save; copy it again")
    try:
        with zipfile.ZipFile(path) as archive, archive.open(entries[0]) as file:
            content = read_at_most(file, MAX_PICKLE_BYTES, PICKLE_NAME)
    except InputError as error:
        raise InputError(f"{path.name}: {error}") from error
    except DAMAGED_ARCHIVE as error:
        raise InputError(f"{path.name}: damaged: {one_line(error)}; copy it again") from error
    try:
        return ArrayPickle(content).read()
    except InputError as error:
        expected = "expected arrays of numbers and nothing else"
        raise InputError(f"{path.name}: {error}; {expected}") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path.name}: a damaged pickle; copy it again") from error


class ArrayPickle:
    """Interpreter of pickles of `{name: array}`.

    Args:
        content: the pickle.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.encoded = 0  # bytes made of texts; a pickle may refer to one text many times
        push = self.stack.append
        self.actions: dict[str, Callable[[Any], None]] = {
            "BINPUT": self.put,
            "LONG_BINPUT": self.put,
            "MEMOIZE": lambda _: self.put(len(self.memo)),
            "BINGET": lambda place: push(self.memo[place]),
            "LONG_BINGET": lambda place: push(self.memo[place]),
            "MARK": lambda _: push(Mark),
            "EMPTY_DICT": lambda _: push({}),
            "TUPLE": lambda _: push(self.since_mark()),
            "SETITEM": lambda _: self.set_items(self.taken(2)),
            "SETITEMS": lambda _: self.set_items(self.since_mark()),
            "GLOBAL": lambda name: push(self.imported(name)),
            "REDUCE": lambda _: push(self.called(*self.taken(2))),
            "BUILD": lambda _: self.build(*self.taken(2)),
        }

    def read(self) -> dict[str, np.ndarray]:
        """Arrays by name.

        Raises:
            InputError: the pickle holds something else.
            ValueError: it is damaged; so are others of the errors that its reader names.
        """
        for number, (opcode, argument, _) in enumerate(pickletools.genops(self.content)):
            if opcode.name == "STOP":
                break
            if number == MAX_OPCODES:
                raise InputError(f"has more than {MAX_OPCODES} opcodes")
            self.step(opcode.name, argument)
        (result,) = self.stack
        if not isinstance(result, dict):
            raise InputError(f"holds a {type(result).__name__}")
        arrays = {}
        for name, array in result.items():
            if not isinstance(array, StoredArray) or array.value is None:
                raise InputError(f"{shown(name)} is no array")
            arrays[name] = array.value
        return arrays

    def step(self, name: str, argument: Any) -> None:
        """Interpret one opcode."""
        if name in ARGUMENTS:
            self.stack.append(argument)
        elif name in PLAIN_VALUES:
            self.stack.append(PLAIN_VALUES[name])
        elif name in TUPLE_SIZES:
            self.stack.append(self.taken(TUPLE_SIZES[name]))
        elif name in self.actions:
            self.actions[name](argument)
        elif name not in ("PROTO", "FRAME"):
            raise InputError(f"uses {name}")

    def put(self, place: int) -> None:
        """Remember the last value of the stack."""
        self.memo[place] = self.stack[-1]

    def taken(self, count: int) -> tuple[Any, ...]:
        """The last values of the stack, removed from it."""
        if count > len(self.stack):
            raise ValueError
        values = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        return values

    def since_mark(self) -> tuple[Any, ...]:
        """The values after the last mark, removed from the stack with it."""
        start = len(self.stack) - self.stack[::-1].index(Mark)
        values = self.taken(len(self.stack) - start)
        self.stack.pop()
        return values

    def set_items(self, values: tuple[Any, ...]) -> None:
        """Add names and values to the dictionary on the stack."""
        for name, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(name, str):
                raise InputError(f"{shown(name)} is no name")
            self.stack[-1][name] = value

    def imported(self, name: str) -> Imported:
        """What stands for an import."""
        if name not in IMPORTS:
            raise InputError(f"would import {shown(name.replace(' ', '.'))}")
        return IMPORTS[name]

    def called(self, function: Any, arguments: Any) -> Any:
        """Result of a call of what was imported."""
        if function == RECONSTRUCT and arguments[0] == ARRAY:
            return StoredArray()
        if function == TYPE and arguments[0] in NUMBER_KINDS:
            return StoredType(arguments[0])
        if function == ENCODE and arguments[1] == "latin1":
            self.encoded += len(arguments[0])
            if self.encoded > len(self.content):
                raise InputError("claims more bytes than it has")
            return arguments[0].encode("latin1")
        raise InputError("calls what makes no arrays of numbers")

    def build(self, value: Any, state: tuple[Any, ...]) -> None:
        """Complete an array or a number format, which stays on the stack."""
        self.stack.append(value)
        if isinstance(value, StoredType):
            if state[1] not in BYTE_ORDERS or any(part is not None for part in state[2:5]):
                raise InputError("an array of other than numbers")
            value.order = state[1]
        elif isinstance(value, StoredArray):
            _, shape, kind, columns, data = state
            value.value = array_of(shape, kind, columns, data)
        else:
            raise InputError(f"changes a {type(value).__name__}")


def array_of(shape: Any, kind: StoredType, columns: bool, data: bytes) -> np.ndarray:
    """An array of stored bytes, without a copy; `columns` as in Fortran."""
    dtype = np.dtype(kind.order + kind.kind)
    sizes_valid = all(type(size) is int and size >= 0 for size in shape)
    if not sizes_valid or len(shape) > MAX_ARRAY_AXES:
        raise InputError(f"an array of shape {shown(shape)}")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise InputError(f"an array claims the shape {shown(shape)} and has {len(data)} bytes")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if columns else "C")
