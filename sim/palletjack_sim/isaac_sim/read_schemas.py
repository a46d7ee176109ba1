"""Reads OmniGraph node schemas from unpacked Isaac Sim wheels: names and types of attributes, no more.

Example: python -m palletjack_sim.isaac_sim.read_schemas UNPACKED_WHEELS NODE_TYPE ... > nodes.json

A wheel holds .ogn files (JSON) for some nodes and, for those written in C++, only a page of documentation.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Schema = dict[str, Any]
SIDES = ("inputs", "outputs")
PAGE_ROW = re.compile(r'\(\*(inputs|outputs):([^*]+)\*\)", "``([^`]+)``"')
PAGE_NAME = re.compile(r'"Unique ID", "([^"]+)"')
PAGE_VERSION = re.compile(r'"Version", "(\d+)"')


def read_schemas(root: Path) -> dict[str, Schema]:
    """Return every node type under ``root`` with its version and the types of its inputs and outputs.

    .ogn files win over documentation.

    Raises:
        ValueError: a .ogn file is not JSON; the message names it.
    """
    found: dict[str, Schema] = {}
    for page in sorted(root.rglob("ogn/docs/*.rst")):
        found.update(_read_page(page.read_text(encoding="utf-8")))
    for file in sorted(root.rglob("*.ogn")):
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{file}: expected JSON, found {error}") from None
        extension = _extension(file)
        for name, node in document.items():
            found[name if "." in name else f"{extension}.{name}"] = _from_ogn(node)
    return found


def _from_ogn(node: dict[str, Any]) -> Schema:
    sides = {side: {k: v["type"] for k, v in node.get(side, {}).items() if k[:1] != "$"} for side in SIDES}
    return {"version": int(node.get("version", 1)), **sides}


def _read_page(text: str) -> dict[str, Schema]:
    name, version = PAGE_NAME.search(text), PAGE_VERSION.search(text)
    if name is None or version is None:
        return {}
    schema: Schema = {"version": int(version.group(1)), "inputs": {}, "outputs": {}}
    for side, attribute, kind in PAGE_ROW.findall(text):
        schema[side][attribute] = kind
    return {name.group(1): schema}


def _extension(file: Path) -> str:
    return next(part for part in reversed(file.parts[:-1]) if part.startswith(("isaacsim.", "omni.")))


def select(schemas: dict[str, Schema], names: Iterable[str]) -> dict[str, Schema]:
    """Return those of ``names``, in order of their names; KeyError for one that is not there."""
    return {name: schemas[name] for name in sorted(names)}


def main(argv: list[str]) -> int:
    """Print the schemas of the node types named after the folder, or of all ROS 2 bridge nodes."""
    if len(argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    print(json.dumps(select(read_schemas(Path(argv[0])), argv[1:]), indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
