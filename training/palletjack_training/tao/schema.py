"""The spec files of TAO DetectNet_v2 as protobuf messages, built from field tables kept as data.

``schemas/4.0.json`` and ``schemas/5.0.json`` name every field, its number and its type. The messages made of
them accept what the container of that version accepts, and refuse what it refuses, before it is started.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

VERSIONS = ("4.0", "5.0")
EXPERIMENT, CONVERSION, INFERENCE = "Experiment", "DatasetExportConfig", "Inference"

_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "float": _FIELD.TYPE_FLOAT,
    "double": _FIELD.TYPE_DOUBLE,
    "int32": _FIELD.TYPE_INT32,
    "uint32": _FIELD.TYPE_UINT32,
    "bool": _FIELD.TYPE_BOOL,
    "string": _FIELD.TYPE_STRING,
}
_MAP = re.compile(r"(\d+) map<(\w+), ([\w.]+)>")
_PLAIN = re.compile(r"(\d+) (repeated )?([\w.]+)(?: oneof (\w+))?")


class SpecError(ValueError):
    """A spec file that TAO would not read; the message names file, line and field."""


@dataclass(frozen=True)
class Spec:
    """A parsed spec file. ``kind`` is its message type: Experiment, DatasetExportConfig or Inference."""

    path: Path
    kind: str
    version: str
    message: Any


@functools.cache
def message_class(version: str, name: str) -> Any:
    """The class of message ``name`` (dotted for nested ones) of a TAO version in VERSIONS."""
    return message_factory.GetMessageClass(_pool(version).FindMessageTypeByName(name))


@functools.cache
def field_table(version: str) -> dict[str, Any]:
    """The schema as data: ``source``, ``messages`` and ``enums``."""
    if version not in VERSIONS:
        raise SpecError(f"--version: expected one of {', '.join(VERSIONS)}, found {version!r}")
    text = (resources.files("palletjack_training.tao") / "schemas" / f"{version}.json").read_text("utf-8")
    return dict(json.loads(text))


def read_spec(path: Path, version: str) -> Spec:
    """Parse a spec file of any kind as TAO does: a scalar given twice counts with its last value.

    Raises:
        SpecError: the file cannot be read, a field is unknown or a value has another type.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: expected a text file, found: {error}") from None
    kind = spec_kind(text)
    message = message_class(version, kind)()
    try:
        text_format.Merge(text, message)
    except text_format.ParseError as error:
        raise SpecError(f"{path}:{_explain(str(error), version)}") from None
    return Spec(path, kind, version, message)


def spec_kind(text: str) -> str:
    """The message type of a spec's text, by the sections at its top level."""
    top = _top_level_names(text)
    if top & set(field_table("5.0")["messages"][INFERENCE]):
        return INFERENCE
    if top & {"kitti_config", "coco_config", "sample_modifier_config"}:
        return CONVERSION
    return EXPERIMENT


def write_text(message: Any, comments: list[str]) -> str:
    """The message in protobuf's text format, under ``comments``, one line each."""
    head = "".join(f"# {line}".rstrip() + "\n" for line in comments)
    return head + str(text_format.MessageToString(message))


def _top_level_names(text: str) -> set[str]:
    depth, names = 0, set()
    bare = re.sub(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'', '""', re.sub(r"(?m)^\s*#.*$", "", text))
    for token in re.findall(r"[{}<>]|\w+(?=\s*[:{<])", bare):
        if token in "{<":
            depth += 1
        elif token in "}>":
            depth -= 1
        elif depth == 0:
            names.add(token)
    return names


def _explain(message: str, version: str) -> str:
    unknown = re.search(r'Message type "([\w.]+)" has no field named "(\w+)"', message)
    if unknown is None:
        return message
    known = field_table(version)["messages"].get(unknown[1], {})
    near = difflib.get_close_matches(unknown[2], known, 1, 0.5)
    return f"{message}" + (f" Did you mean {near[0]!r}?" if near else "")


@functools.cache
def _pool(version: str) -> descriptor_pool.DescriptorPool:
    table = field_table(version)
    file = descriptor_pb2.FileDescriptorProto(name=f"detectnet_v2_{version}.proto", syntax="proto3")
    made: dict[str, Any] = {}
    for name in sorted(table["messages"]):
        parent, _, leaf = name.rpartition(".")
        holder = made[parent].nested_type if parent else file.message_type
        made[name] = holder.add(name=leaf)
    for name, values in table["enums"].items():
        parent, _, leaf = name.rpartition(".")
        enum = (made[parent] if parent else file).enum_type.add(name=leaf)
        for key, number in values.items():
            enum.value.add(name=key, number=number)
    for name, fields in table["messages"].items():
        for field, text in fields.items():
            _add_field(made[name], name, field, text, table)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _add_field(message: Any, owner: str, name: str, text: str, table: dict[str, Any]) -> None:
    mapped = _MAP.fullmatch(text)
    if mapped:
        entry = "".join(part.capitalize() for part in name.split("_")) + "Entry"
        nested = message.nested_type.add(name=entry)
        nested.options.map_entry = True
        _set_type(nested.field.add(name="key", number=1, label=_FIELD.LABEL_OPTIONAL), mapped[2], table)
        _set_type(nested.field.add(name="value", number=2, label=_FIELD.LABEL_OPTIONAL), mapped[3], table)
        message.field.add(
            name=name,
            number=int(mapped[1]),
            label=_FIELD.LABEL_REPEATED,
            type=_FIELD.TYPE_MESSAGE,
            type_name=f".{owner}.{entry}",
        )
        return
    plain = _PLAIN.fullmatch(text)
    assert plain is not None, f"{owner}.{name}: {text}"
    number, repeated, kind, group = plain.groups()
    field = message.field.add(name=name, number=int(number))
    field.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
    _set_type(field, kind, table)
    if group:
        groups = [item.name for item in message.oneof_decl]
        if group not in groups:
            message.oneof_decl.add(name=group)
            groups.append(group)
        field.oneof_index = groups.index(group)


def _set_type(field: Any, kind: str, table: dict[str, Any]) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = _FIELD.TYPE_ENUM if kind in table["enums"] else _FIELD.TYPE_MESSAGE
        field.type_name = f".{kind}"
