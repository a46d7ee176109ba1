"""Write the table of docs/recipe.md again from the recipe's models: `python docs/make_recipe_table.py`."""

from __future__ import annotations

import json
import os
from pathlib import Path

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from palletjack_sdg.recipe import Recipe, load_recipe

PAGE = Path(__file__).resolve().parent / "recipe.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def table() -> str:
    """Return a Markdown table: every key, its default, and what ``warehouse_v1`` sets."""
    shipped = load_recipe("warehouse_v1")
    lines = ["| Key | Default | `warehouse_v1` |", "|---|---|---|"]
    for section, field in Recipe.model_fields.items():
        model = field.annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            continue
        for key, inner in model.model_fields.items():
            default = inner.default
            if inner.default_factory is not None:
                default = inner.default_factory()  # type: ignore[call-arg]
            value = getattr(getattr(shipped, section), key)
            same = default is not PydanticUndefined and plain(default) == plain(value)
            shown = "required" if default is PydanticUndefined else f"`{plain(default)}`"
            lines.append(f"| `{section}.{key}` | {shown} | {'' if same else f'`{plain(value)}`'} |")
    return "\n".join(lines)


def plain(value: object) -> str:
    """Return a value as a recipe writes it, on one line."""

    def unfold(item: object) -> object:
        return item.model_dump() if isinstance(item, BaseModel) else str(item)

    if isinstance(value, BaseModel):
        value = value.model_dump()
    return json.dumps(value, default=unfold).replace('"', "")


def page_with(new_table: str) -> str:
    """Return the page with its table replaced."""
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n{new_table}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    temporary = PAGE.with_name(f".{PAGE.name}.{os.getpid()}")
    temporary.write_text(page_with(table()), encoding="utf-8")
    os.replace(temporary, PAGE)
