"""What a benchmark has measured, as a JSON file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_result(document: dict[str, Any], path: Path | None) -> None:
    """Print ``document``; where ``path`` is given write it there too, whole or not at all."""
    text = json.dumps(document, indent=2) + "\n"
    print(text, end="")
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
