"""What a benchmark has measured, as a JSON file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_result(document: dict[str, Any], path: Path | None) -> None:
    """Print ``document``; where ``path`` is given write it there too, whole or not at all."""
    print(json.dumps(document, indent=2))
    if path is not None:
        write_json(path, document)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)
