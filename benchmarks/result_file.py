"""What a benchmark has measured, as a JSON file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_result(document: dict[str, Any], path: Path | None) -> None:
    """Print ``document``; where ``path`` is given write it there too, whole or not at all."""
    print(json.dumps(document, indent=2))
    if path is not None:
        write_json(path, document)


def write_measurement(
    document: dict[str, Any],
    table: str,
    draw: Callable[[dict[str, Any], Path], None],
    *,
    out: Path,
    copy: Path | None,
) -> None:
    """Leave result.json, table.md and picture.png in ``out``, the JSON in ``copy`` too; print the table."""
    for path in (out / "result.json", copy):
        if path is not None:
            write_json(path, document)
    (out / "table.md").write_text(table, encoding="utf-8")
    draw(document, out / "picture.png")
    print(table)


def rounded(value: Any) -> Any:
    """``value`` with all floats in it to four digits, as far down as dictionaries, lists and tuples go."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)
