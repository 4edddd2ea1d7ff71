"""Read the tensors of a TensorFlow checkpoint, `model.index` and `model.data-00000-of-00001`.

The index is a table of LevelDB (sorted keys in blocks) whose values are protocol buffers, see
`tensor_bundle.proto` and `tensorflow/core/lib/io/table` of TensorFlow. The data are plain numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from auralflow_pl.checkpoints.contents import read_at_most
from auralflow_pl.errors import InputError, os_reason, shown

INDEX_SUFFIX, DATA_SUFFIX = ".index", ".data-00000-of-00001"

MAX_INDEX_BYTES = 2**20

MAX_KEY_BYTES = 512

MAX_TENSOR_AXES = 8

MAX_CHECKED_BYTES = 2**12  # of tensors whose checksum is compared: more would take seconds

MAX_VARINT_BYTES = 10  # 64 bits

FOOTER_BYTES, TRAILER_BYTES = 48, 5

TABLE_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")

STORED, SNAPPY = 0, 1  # compression of a block

CRC_MASK = 0xA282EAD8  # added to the stored checksums

NUMBERS = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}  # by the DataType of TensorFlow

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types of protocol buffers

FIXED_SIZES = {FIXED64: 8, FIXED32: 4}


class TensorPlace(NamedTuple):
    """Where a tensor is stored."""

    kind: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int


class TensorBundle:
    """The tensors of a checkpoint, each read when it is asked for.

    Args:
        prefix: path without the suffixes of index and data.

    Raises:
        InputError: a file is missing or damaged, or the data are in several files.
    """

    def __init__(self, prefix: Path) -> None:
        self.data = Path(f"{prefix}{DATA_SUFFIX}")
        index = Path(f"{prefix}{INDEX_SUFFIX}")
        try:
            with index.open("rb") as file:
                content = read_at_most(file, MAX_INDEX_BYTES, index.name)
            self.size = self.data.stat().st_size
        except OSError as error:
            missing = Path(error.filename or prefix).name
            raise InputError(f"{missing}: {os_reason(error)}; copy the whole folder") from error
        try:
            entries = dict(read_table(content))
            shards, big_endian = header_of(entries.pop(b"", b""))
            self.places = {name.decode(): place_of(entry) for name, entry in entries.items()}
        except (ValueError, LookupError) as error:
            reason = str(error) if isinstance(error, InputError) else "damaged"
            raise InputError(f"{index.name}: {reason}; copy it again") from error
        if shards != 1 or big_endian:
            order = "big-endian numbers" if big_endian else f"its data in {shards} files"
            raise InputError(f"{index.name}: has {order}; expected little-endian ones in one file")
        if sum(place.size for place in self.places.values()) > self.size:
            raise InputError(f"{self.data.name}: has {self.size} bytes, its index claims more")

    def read(self, name: str) -> np.ndarray:
        """Read a tensor.

        Raises:
            InputError: there is none, it is in another file, or it is no array of numbers.
        """
        place = self.places.get(name)
        if place is None:
            raise InputError(f"{shown(name)}: not in this checkpoint")
        if place.kind not in NUMBERS or place.shard != 0:
            raise InputError(f"{shown(name)}: no array of numbers in {self.data.name}")
        dtype = np.dtype(NUMBERS[place.kind])
        if (
            len(place.shape) > MAX_TENSOR_AXES
            or place.size != math.prod(place.shape) * dtype.itemsize
        ):
            raise InputError(
                f"{shown(name)}: claims the shape {shown(place.shape)} and has {place.size} bytes"
            )
        if place.offset + place.size > self.size:
            raise InputError(f"{self.data.name}: too short for {shown(name)}; copy it again")
        with self.data.open("rb") as file:
            file.seek(place.offset)
            content = file.read(place.size)
        if place.size <= MAX_CHECKED_BYTES and masked_crc(content) != place.checksum:
            raise InputError(f"{self.data.name}: {shown(name)} has a wrong checksum; copy it again")
        return np.frombuffer(content, dtype).reshape(place.shape)


class ByteReader:
    """Reads a piece of bytes from its start to its end; ValueError where it is too short."""

    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def __bool__(self) -> bool:
        return self.place < len(self.content)

    def take(self, count: int) -> bytes:
        """The next bytes."""
        part = self.content[self.place : self.place + count]
        if len(part) != count:
            raise ValueError
        self.place += count
        return part

    def varint(self) -> int:
        """The next number, seven bits a byte."""
        value = 0
        for number in range(MAX_VARINT_BYTES):
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << (7 * number)
            if byte < 0x80:
                return value
        raise ValueError

    def span(self) -> tuple[int, int]:
        """The next offset and size."""
        return self.varint(), self.varint()


def read_table(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a table of LevelDB.

    Raises:
        InputError: it is no table, is compressed, or a checksum is wrong.
        ValueError: it is damaged.
    """
    if content[-8:] != TABLE_MAGIC or len(content) < FOOTER_BYTES:
        raise InputError("not the index of a TensorFlow checkpoint, or cut off")
    footer = ByteReader(content[-FOOTER_BYTES:])
    footer.span()  # of a block without content
    left = len(content)
    for _, handle in read_block(content, *footer.span()):
        offset, size = ByteReader(handle).span()
        left -= size
        if left < 0:  # blocks never share bytes
            raise ValueError
        yield from read_block(content, offset, size)


def read_block(content: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of one block; each key shares its start with the one before."""
    block = content[offset : offset + size + TRAILER_BYTES]
    if len(block) != size + TRAILER_BYTES or size < 4:
        raise ValueError
    compression, checksum = block[size], int.from_bytes(block[size + 1 :], "little")
    if checksum != masked_crc(block[: size + 1]):
        raise InputError("a wrong checksum")
    if compression != STORED:
        packed = "Snappy" if compression == SNAPPY else f"method {compression}"
        raise InputError(f"compressed with {packed}; expected the index as TensorFlow saves it")
    restarts = 4 * (int.from_bytes(block[size - 4 : size], "little") + 1)
    if restarts > size:
        raise ValueError
    reader, key = ByteReader(block[: size - restarts]), b""
    while reader:
        shared, added, length = reader.varint(), reader.varint(), reader.varint()
        if shared > len(key) or shared + added > MAX_KEY_BYTES:
            raise ValueError
        key = key[:shared] + reader.take(added)
        yield key, reader.take(length)


def read_fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and values of the fields of a protocol buffer."""
    reader = ByteReader(content)
    while reader:
        number, wire = divmod(reader.varint(), 8)
        if wire == VARINT:
            yield number, reader.varint()
        elif wire == BYTES:
            yield number, reader.take(reader.varint())
        else:
            yield number, int.from_bytes(reader.take(FIXED_SIZES[wire]), "little")


def number_of(value: int | bytes) -> int:
    """A field that must be a number."""
    if isinstance(value, bytes):
        raise ValueError
    return value


def message_of(value: int | bytes) -> bytes:
    """A field that must be a message."""
    if isinstance(value, int):
        raise ValueError
    return value


def header_of(content: bytes) -> tuple[int, bool]:
    """Number of data files, and whether numbers are big-endian, of a `BundleHeaderProto`."""
    fields = dict(read_fields(content))
    return number_of(fields.get(1, 0)), bool(fields.get(2))


def place_of(content: bytes) -> TensorPlace:
    """Place of a tensor, of a `BundleEntryProto`."""
    fields = dict(read_fields(content))
    shape = [
        number_of(dict(read_fields(message_of(size))).get(1, 0))
        for number, size in read_fields(message_of(fields.get(2, b"")))
        if number == 2
    ]
    kind, *numbers = (number_of(fields.get(number, 0)) for number in (1, 3, 4, 5, 6))
    return TensorPlace(kind, tuple(shape), *numbers)


def crc_table() -> list[int]:
    """Table of CRC-32C, for the polynomial 0x1EDC6F41 in reversed order of bits."""
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


CRC_TABLE = crc_table()


def masked_crc(content: bytes) -> int:
    """CRC-32C as TensorFlow stores it: rotated by 15 bits, plus a constant."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + CRC_MASK) & 0xFFFFFFFF
