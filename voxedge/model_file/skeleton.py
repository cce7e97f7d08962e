"""Read the skeleton of an ONNX file from its protobuf bytes, without the onnx package.

The skeleton is what decides whether a file is refused: operators, opsets, external data, and where
the metadata is. A device has NumPy and ONNX Runtime only, and the runtime must not open the file
before. Wire format: the protobuf encoding guide; field numbers: ``onnx.proto`` of ONNX 1.23 (later
IR versions than 10 add no fields that matter here).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

_MAX_DEPTH = 16
_MAX_FIELDS = 500_000  # of one file; that of a ResNet has a few thousand
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

#: Message type -> field number -> type of the message in that field.
_CHILDREN: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 8: "Opset", 14: "Entry", 20: "Training", 25: "Function"},
    "Training": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 9: "Opset", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {
        5: "Tensor",
        6: "Graph",
        10: "Tensor",
        11: "Graph",
        22: "SparseTensor",
        23: "SparseTensor",
    },
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
}


class WireError(ValueError):
    """The bytes are not a protobuf message of the expected shape."""


@dataclass
class Skeleton:
    """What is known about a model before its weights are read."""

    ir_version: int = 0
    opsets: dict[str, int] = field(default_factory=dict)  # domain -> version
    metadata: list[tuple[bytes, int, int]] = field(default_factory=list)  # key, offsets of value
    operators: set[str] = field(default_factory=set)  # of all graphs and functions
    external_data: bool = False  # a tensor refers to another file
    fields: int = 0  # that were read


def skeleton(data: bytes | memoryview) -> Skeleton:
    """Walk a serialised ModelProto and the graphs inside its graphs, without reading weights.

    Raises:
        WireError: the bytes are not such a message, or are nested too deeply, or too many.
    """
    found = Skeleton()
    view = memoryview(data)
    _walk(view, 0, len(view), "Model", found, 0)
    return found


def _walk(view: memoryview, start: int, end: int, kind: str, found: Skeleton, depth: int) -> None:
    """Add what a message of type ``kind`` holds, and the messages inside it, to ``found``."""
    if depth > _MAX_DEPTH:
        raise WireError("messages nested too deep")
    children = _CHILDREN.get(kind, {})
    fields: dict[int, tuple[int, int]] = {}
    for number, wire, low, high in _fields(view, start, end):
        found.fields += 1
        if found.fields > _MAX_FIELDS:
            raise WireError(f"more than {_MAX_FIELDS} fields")
        if wire == _VARINT:
            if kind == "Model" and number == 1:
                found.ir_version = low
            elif kind == "Tensor" and number == 14 and low != 0:  # data_location
                found.external_data = True
            elif kind == "Opset" and number == 2:
                fields[2] = (low, low)
        elif wire == _BYTES:
            fields[number] = (low, high)
            if kind == "Tensor" and number == 13:
                found.external_data = True
            if child := children.get(number):
                _walk(view, low, high, child, found, depth + 1)
    if kind == "Opset":
        domain = bytes(view[slice(*fields.get(1, (0, 0)))]).decode("utf-8", "replace")
        found.opsets[domain] = fields.get(2, (0, 0))[0]
    elif kind == "Node" and 4 in fields:
        found.operators.add(bytes(view[slice(*fields[4])])[:100].decode("utf-8", "replace"))
    elif kind == "Entry":
        key = bytes(view[slice(*fields.get(1, (0, 0)))][:100])
        found.metadata.append((key, *fields.get(2, (end, end))))


def _fields(view: memoryview, position: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (field number, wire type, start, end), or (.., value, value) for a varint."""
    while position < end:
        tag, position = _varint(view, position, end)
        number, wire = tag >> 3, tag & 7
        if number == 0 or tag >> 32:  # protobuf itself would drop the bits above 32
            raise WireError(f"field number {number}")
        if wire == _VARINT:
            value, position = _varint(view, position, end)
            yield number, wire, value, value
            continue
        if wire == _BYTES:
            length, position = _varint(view, position, end)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise WireError(f"wire type {wire}")
        if length > end - position:
            raise WireError("a field runs past its message")
        yield number, wire, position, position + length
        position += length


def _varint(view: memoryview, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 70:
        byte = view[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise WireError("a number that does not end")
