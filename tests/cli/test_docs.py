"""The documentation against the code: links, commands, arguments and numbers."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest
import typer

from palletjack_cli.main import app

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = {".venv", "out", "runs", "build", "install", "log", ".git"}
PAGES = sorted(
    path for path in ROOT.rglob("*.md") if not SKIPPED.intersection(path.relative_to(ROOT).parts[:-1])
)
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
LAUNCH = ROOT / "ros2_ws" / "src" / "palletjack_detection" / "launch" / "detect.launch.py"


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def shell_lines(text: str) -> list[str]:
    """Return the lines of fenced and indented code, each with those that it goes on in."""
    text = re.sub(r"\\\n\s*", "", text)
    fenced = [
        line for block in re.findall(r"```(?:sh|bash)?\n(.*?)```", text, re.S) for line in block.split("\n")
    ]
    indented = [line for line in text.split("\n") if line.startswith("    ")]
    return [line.split("#")[0].strip() for line in [*fenced, *indented]]


def dead_links(page: Path, text: str) -> list[str]:
    """Return the relative targets of links and pictures that do not exist."""
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    local = [target for target in targets if target and "://" not in target]
    return [target for target in local if not (page.parent / target).exists()]


def wrong_commands(text: str) -> list[str]:
    """Return the `palletjack` lines that the command line would not take."""
    wrong = []
    for line in shell_lines(text):
        if not line.startswith("palletjack "):
            continue
        verb, *words = shlex.split(line)[1:]
        if verb in COMMANDS:
            command = COMMANDS[verb]
            try:
                while hasattr(command, "commands"):
                    command = command.commands[words.pop(0)]
                command.make_context(verb, words)
                continue
            except Exception as error:  # the vendored parser's exceptions have no public name
                line += f"  ({error})"
        wrong.append(line)
    return wrong


def declared_launch_arguments() -> set[str]:
    """Return the names of detect.launch.py's arguments, read from its text: no ROS is needed."""
    return set(re.findall(r'DeclareLaunchArgument\(\s*"([a-z_]+)"', LAUNCH.read_text()))


def unknown_launch_arguments(text: str) -> list[str]:
    """Return arguments given to detect.launch.py that it does not declare."""
    declared = declared_launch_arguments()
    lines = [line for line in shell_lines(text) if "detect.launch.py" in line]
    given = [name for line in lines for name in re.findall(r"([a-z_]+):=", line)]
    return [name for name in given if name not in declared]


def test_there_is_documentation() -> None:
    assert {"README.md", "docs/recipe.md", "docs/support.md"} <= set(names(PAGES))


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_links_lead_somewhere(page: Path) -> None:
    assert dead_links(page, page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_commands_and_launch_arguments_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert wrong_commands(text) == []
    assert unknown_launch_arguments(text) == []


def test_the_checks_find_what_is_wrong() -> None:
    assert dead_links(ROOT / "README.md", "[a](docs/none.md) [b](LICENSE)") == ["docs/none.md"]
    assert len(wrong_commands("```sh\npalletjack generate --wokers 2\npalletjack fly\n```")) == 2
    assert len(wrong_commands("```sh\npalletjack generate \\\n    --wokers 2\n```")) == 1
    assert len(wrong_commands("```sh\npalletjack tao lnt x\npalletjack tao spec --dta x\n```")) == 2
    assert unknown_launch_arguments(
        "```sh\nros2 launch p detect.launch.py imge:=x images:=y camera:=topic\n```"
    ) == [
        "imge",
        "images",
    ]


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        for line in shell_lines(page.read_text(encoding="utf-8")):
            if line.startswith("make "):
                assert f"\n{line.split()[1]}:" in makefile, f"{page}: {line}"


def test_launch_table_names_every_declared_argument_and_no_other() -> None:
    table = (ROOT / "docs" / "ros.md").read_text().split("## Launch arguments")[1].split("##")[0]
    documented = {
        name
        for row in table.split("\n")
        for name in re.findall(r"`([a-z_]+)`", row.split("|")[1:2][0] if "|" in row else "")
    }
    assert documented == declared_launch_arguments()


LOCO_ROWS = (("INT8", "int8"), ("FP32", "fp32"))


def test_the_readme_states_the_numbers_of_the_shipped_model() -> None:
    model = json.loads((ROOT / "models" / "palletjack_lite" / "model.json").read_text())
    readme = (ROOT / "README.md").read_text()
    for precision, key in LOCO_ROWS:
        loco = model["metrics"]["loco"][key]
        counts = loco["at_threshold"]
        assert counts["threshold"] == model["score_threshold"]
        label = f"`palletjack_lite`, {precision}, at its threshold {model['score_threshold']:g}"
        row = next(line for line in readme.split("\n") if label in line)
        numbers = [cell.strip() for cell in row.split("|")[3:7]]
        stated = [counts["precision"], counts["recall"], counts["f1"], loco["ap50"]]
        assert numbers == [f"{value:.2f}" for value in stated]
    words = " ".join(readme.split())
    for low, high in model["metrics"]["loco"]["int8"]["intervals_95"].values():
        assert f"{low:.2f} to {high:.2f}" in words


def test_the_readme_states_what_all_three_have_in_18_views_of_each_photo() -> None:
    views = [
        json.loads((ROOT / "models" / name / "model.json").read_text())["metrics"]["loco"]["int8"]["views"]
        for name in ("palletjack_lite", "palletjack_lite_pruned", "palletjack_resnet18")
    ]
    f1 = [f"{item['at_threshold']['f1']:.2f}" for item in views]
    ap50 = [f"{item['ap50']:.2f}" for item in views]
    low, high = views[0]["intervals_95"]["f1"]
    words = " ".join((ROOT / "README.md").read_text().split())
    assert f"F1 {f1[0]} ({low:.2f} to {high:.2f}), {f1[1]} and {f1[2]}" in words
    assert f"AP50 {ap50[0]}, {ap50[1]} and {ap50[2]} ([table]" in words


def test_the_model_card_states_the_numbers_of_model_json() -> None:
    model = json.loads((ROOT / "models" / "palletjack_lite" / "model.json").read_text())
    card = (ROOT / "models" / "palletjack_lite" / "README.md").read_text()
    for precision, key in LOCO_ROWS:
        loco = model["metrics"]["loco"][key]
        counts = loco["at_threshold"]
        row = next(line for line in card.split("\n") if f"(LOCO), {precision}" in line)
        stated = [loco["ap50"], loco["ap50_95"], counts["precision"], counts["recall"], counts["f1"]]
        assert [cell.strip() for cell in row.split("|")[2:8]] == [
            str(loco["boxes"]),
            *(f"{value:.2f}" for value in stated),
        ]
    for label, key in (("each](", "int8"), ("the same, FP32", "fp32")):
        seen = model["metrics"]["loco"][key]["views"]
        counts = seen["at_threshold"]
        row = next(line for line in card.split("\n") if label in line and "| 468 |" in line)
        stated = [seen["ap50"], counts["precision"], counts["recall"], counts["f1"]]
        assert [cell.strip() for cell in row.split("|")[3:8] if cell.strip()] == [f"{v:.2f}" for v in stated]
    training = model["training"]
    assert f"{training['frames']:,} frames" in card
    assert f"{training['before'][0]['steps']:,} steps" in card
    assert f"{training['steps']:,} steps" in card
    assert f"threshold {model['score_threshold']:g}" in card


def test_the_table_of_the_recipe_is_current() -> None:
    place = ROOT / "docs" / "make_recipe_table.py"
    spec = importlib.util.spec_from_file_location("make_recipe_table", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text() == module.page_with(module.table()), f"run: python {place}"
