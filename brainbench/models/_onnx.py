"""The numbers in an ONNX file, and which node reads which: as much of the format as loading weights needs.

An ONNX file is one protobuf message. Reading it here takes neither `onnx` nor `protobuf`, and runs nothing of it.
Field numbers are those of onnx.proto3.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brainbench.errors import InputError

_FLOAT32 = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operation: its kind, and the names of the values that go in and come out."""

    kind: str
    inputs: Sequence[str]
    outputs: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The operations in the order in which they run, and the float32 arrays that are stored with them by name."""

    nodes: Sequence[Node]
    arrays: Mapping[str, np.ndarray]

    def constants(self, node: Node) -> list[np.ndarray]:
        """The stored arrays among the inputs of a node."""
        return [self.arrays[name] for name in node.inputs if name in self.arrays]

    def after(self, node: Node) -> Node:
        """The first node that reads what `node` gives. Raises InputError where none does."""
        for reader in self.nodes:
            if node.outputs[0] in reader.inputs:
                return reader
        raise InputError(f"nothing reads {node.outputs[0]!r}, the output of a {node.kind}")

    def constants_after(self, node: Node, count: int) -> list[np.ndarray]:
        """The first `count` stored arrays that what `node` gives meets on its way, whatever stands between them."""
        found: list[np.ndarray] = []
        while len(found) < count:
            node = self.after(node)
            found += self.constants(node)
        return found


def read(path: Path) -> Graph:
    """The graph of an ONNX file. Raises InputError where it is none, or is damaged."""
    try:
        (graph,) = _values(_fields(memoryview(path.read_bytes())), 7)
        parts = list(_fields(graph))
        nodes = [_node(message) for message in _values(parts, 1)]
        arrays = dict(array for message in _values(parts, 5) if (array := _array(message)))
    except ValueError as error:  # one value where there are none or two, a text that is not UTF-8, a shape that is off
        raise InputError(f"{path} is not ONNX, or is damaged: {error}") from None
    for node in nodes:  # of equal arrays one is stored, and stands under the other names through these
        if node.kind == "Identity" and node.outputs and (values := arrays.get(next(iter(node.inputs), ""))) is not None:
            arrays[node.outputs[0]] = values
    return Graph(nodes=nodes, arrays=arrays)


def _node(message: memoryview) -> Node:
    fields = list(_fields(message))
    inputs, outputs = ([str(text, "utf-8") for text in _values(fields, number)] for number in (1, 2))
    (kind,) = _values(fields, 4)
    return Node(kind=str(kind, "utf-8"), inputs=inputs, outputs=outputs)


def _array(message: memoryview) -> tuple[str, np.ndarray] | None:
    """Name and values of a stored tensor; None where they are not float32."""
    fields = list(_fields(message))
    if (2, _FLOAT32) not in fields:
        return None
    (name,), (raw,) = _values(fields, 8), _values(fields, 9)
    shape = [value for number, value in fields if number == 1 and isinstance(value, int)]
    return str(name, "utf-8"), np.frombuffer(raw, "<f4").reshape(shape)


def _values(fields: Iterable[tuple[int, int | memoryview]], wanted: int) -> list[memoryview]:
    return [value for number, value in fields if number == wanted and isinstance(value, memoryview)]


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Pairs of field number and value of a protobuf message: whole numbers, or the bytes of anything longer."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(message, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"a value of wire type {wire}")
        if at + size > len(message):
            raise ValueError("it ends in the middle of a value")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("it ends in the middle of a number")
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
