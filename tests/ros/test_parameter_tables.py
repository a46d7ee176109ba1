"""The documented parameters are those that are declared."""

from __future__ import annotations

import importlib.util

from tests.ros.environment import REPOSITORY


def test_the_tables_of_the_readme_are_current() -> None:
    place = REPOSITORY / "docs" / "make_parameter_table.py"
    spec = importlib.util.spec_from_file_location("make_parameter_table", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = module.PAGE.read_text()
    assert text == module.page_with_tables(text), f"run: python {place}"
    for specs in module.NODES.values():
        assert len({item.name for item in specs}) == len(specs)
        assert all(len(item.description.split()) >= 3 for item in specs)
