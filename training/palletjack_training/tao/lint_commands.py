"""Traps in the command lines of TAO: a shell script, or what `palletjack tao run` is about to run."""

from __future__ import annotations

import functools
import itertools
import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from palletjack_training.tao.findings import Finding

_OLD_SUFFIXES = (".tlt", ".etlt")
_OLD_CONVERTERS = ("tao-converter", "tlt-converter")


@functools.cache
def cli_flags() -> dict[str, Any]:
    """The flags of each task, by image (``model`` and ``deploy``)."""
    text = (resources.files("palletjack_training.tao") / "cli_flags.json").read_text("utf-8")
    return dict(json.loads(text))


def lint_script(path: Path, version: str) -> Iterator[Finding]:
    """Findings in a shell script that calls ``detectnet_v2 TASK ...``, by docker or by the launcher."""
    text = path.read_text(encoding="utf-8", errors="replace")
    keys: dict[str, str] = {}
    called = False
    for number, line in _joined_lines(text):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        place = f"{path}:{number}"
        if version != "4.0":
            yield from _converter(words, place)
        if "detectnet_v2" not in words:
            continue
        called = True
        yield from _container(words, place)
        yield from lint_call(words[words.index("detectnet_v2") + 1 :], place, version, _is_deploy(words))
        yield from _overwritten(words, place)
        yield from _key(words, place, keys)
    if called and "status.json" not in text:
        yield Finding("TAO020", str(path), "no line reads status.json")


def lint_call(words: Sequence[str], place: str, version: str, deploy: bool = False) -> Iterator[Finding]:
    """Findings in one call, from its task on; an unknown or missing flag is what argparse would refuse."""
    if not words or words[0] == "run":
        return
    task = words[0]
    image = "deploy" if deploy or task == "gen_trt_engine" else "model"
    table = cli_flags()
    known = set(table[image].get(task, ())) | set(table["wrapper"][image])
    if version == "4.0" and task == "inference" and image == "model":
        known |= {"-o"}
    if task not in table[image]:
        yield Finding("TAO022", place, f"no task {task!r} in the {image} image")
        return
    flags = {_whole(flag, known): value for flag, value in options(words[1:]).items()}
    for flag in flags:
        if flag not in known:
            yield Finding("TAO022", place, f"{task} {flag}")
    needed = [*table["required"].get(task, ()), *(table["required_deploy"] if image == "deploy" else ())]
    for names in needed:
        if version != "4.0" and not set(names) & set(flags):
            yield Finding("TAO022", place, f"{task} without {names[0]}")
    if task == "export" and flags.get("--onnx_route") != "tf2onnx":
        yield Finding("TAO014", place, f"export, route {flags.get('--onnx_route', 'not given')}")
    if version != "4.0" and task in ("prune", "export"):
        output = flags.get("-o", flags.get("--output_file", ""))
        if output.endswith(_OLD_SUFFIXES):
            yield Finding("TAO021", place, output)
    if task == "gen_trt_engine" and "--cal_json_file" in flags and flags.get("--data_type") != "int8":
        yield Finding("TAO031", place, f"--cal_json_file with --data_type {flags.get('--data_type', 'fp32')}")
    if task == "evaluate" and image == "deploy":
        yield Finding("TAO039", place, "evaluate of the deploy image")


def options(words: Sequence[str]) -> dict[str, str]:
    """Flags with their values ("" for a switch); -5 is a value, not a flag."""
    found: dict[str, str] = {}
    flag = ""
    for word in words:
        name, equals, value = word.partition("=")
        if re.fullmatch(r"--?[A-Za-z][\w-]*", name):
            flag = name
            found[flag] = value if equals else ""
        elif flag and not found[flag]:
            found[flag] = word
    return found


def _whole(flag: str, known: set[str]) -> str:
    """The flag that an abbreviation means, as argparse takes it."""
    matches = [name for name in known if flag.startswith("--") and name.startswith(flag)]
    return matches[0] if flag not in known and len(matches) == 1 else flag


def _container(words: list[str], place: str) -> Iterator[Finding]:
    if words[:2] != ["docker", "run"]:
        return
    given = options(words[2 : words.index("detectnet_v2")])
    if not {"--ipc", "--shm-size"} & set(given):
        yield Finding("TAO018", place, "docker run without --shm-size or --ipc")
    if not {"--user", "-u"} & set(given):
        yield Finding("TAO026", place, "docker run without --user")


def _key(words: list[str], place: str, keys: dict[str, str]) -> Iterator[Finding]:
    """Compare the key of each .tlt or .etlt file with the one of the line that first named it."""
    given = options(words)
    key = given.get("-k", given.get("--key", ""))
    for word in words:
        if word.endswith(_OLD_SUFFIXES) and keys.setdefault(Path(word).name, key) != key:
            yield Finding("TAO019", place, f"-k {key or '(none)'} for {word}")


def _converter(words: list[str], place: str) -> Iterator[Finding]:
    for word in words:
        if Path(word).name in _OLD_CONVERTERS or word.endswith(".uff"):
            yield Finding("TAO036", place, word)


def _overwritten(words: list[str], place: str) -> Iterator[Finding]:
    """Outputs that are there already, as this machine sees them through the container's mounts."""
    start = words.index("detectnet_v2")
    given = options(words[start + 2 :])
    task = words[start + 1] if start + 1 < len(words) else ""
    output = ""
    if task == "export":
        output = given.get("-o", given.get("--output_file", ""))
    elif task == "gen_trt_engine" and "--cal_json_file" in given:
        output = given.get("--cal_cache_file", "")
    for flag, volume in itertools.pairwise(words[:start]):
        source, _, target = volume.partition(":")
        target = target.partition(":")[0].rstrip("/")
        if flag in ("-v", "--volume") and target and output.startswith(f"{target}/"):
            output = os.path.expandvars(source) + output[len(target) :]
            break
    if output and Path(output).is_file():
        yield Finding("TAO038", place, output)


def _is_deploy(words: list[str]) -> bool:
    before = words[: words.index("detectnet_v2")]
    return "deploy" in before or any(re.search(r":[\w.]+-deploy", word) for word in before)


def _joined_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with their number, those that end in a backslash joined to the next."""
    pending, start = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        start = start or number
        if line.rstrip().endswith("\\"):
            pending += line.rstrip()[:-1] + " "
            continue
        yield start, pending + line
        pending, start = "", 0
    if pending:
        yield start, pending
