"""A pipeline profile: named stages, each one `palletjack` verb with its options, read from YAML.

Values may hold `{out}`, `{workers}`, `{frames}`, `{held_out}` and, in a stage with `requires: photos`,
`{photos}`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

OptionValue = str | bool | int | float | list[str] | None


class PipelineError(ValueError):
    """A profile that cannot be run; the message names the profile and the stage."""


class ResumeSpec(BaseModel):
    """The flag that goes on with a stage which was cut short, given when the file ``when`` is there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flag: str
    when: str


class StageSpec(BaseModel):
    """One stage.

    ``makes`` is the file or folder it leaves, ``result`` what must be there for it to have succeeded
    (``makes`` where not given). ``needs`` names stages that this one builds on: when one of them runs
    anew, so does this. ``stale: keep`` leaves what an earlier run with other options left to the verb;
    by default it is set aside under another name. ``requires: photos`` skips the stage without photos.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    run: str
    options: dict[str, OptionValue] = {}
    needs: tuple[str, ...] = ()
    makes: str
    result: str = ""
    resume: ResumeSpec | None = None
    stale: Literal["set_aside", "keep"] = "set_aside"
    requires: Literal["", "photos"] = ""


class PipelineProfile(BaseModel):
    """Stages in the order in which they run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    stages: tuple[StageSpec, ...]

    @model_validator(mode="after")
    def _needs_come_first(self) -> PipelineProfile:
        seen: set[str] = set()
        for stage in self.stages:
            if stage.name in seen:
                raise ValueError(f"stages: the name {stage.name!r} is given twice")
            for need in stage.needs:
                if need not in seen:
                    raise ValueError(
                        f"stages.{stage.name}.needs: expected an earlier stage, found {need!r}; "
                        f"earlier are {', '.join(sorted(seen)) or 'none'}"
                    )
            seen.add(stage.name)
        return self


@dataclass(frozen=True)
class Stage:
    """A stage with its values filled in: ``command`` is what follows `palletjack`.

    ``identity`` is the command before that: where things lie and how many workers make them changes no
    result.
    """

    spec: StageSpec
    command: tuple[str, ...]
    identity: tuple[str, ...]
    makes: Path
    result: Path
    resume_when: Path | None


def shipped_profiles() -> list[str]:
    """Names that ``load_profile`` takes without a path."""
    folder = resources.files("palletjack_cli") / "pipelines"
    return sorted(item.name[:-5] for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_profiles(names_or_paths: Sequence[str], changes: Sequence[str] = ()) -> PipelineProfile:
    """Read shipped profiles by name or YAML files and join them, with ``STAGE.OPTION=VALUE`` changes.

    A stage that several of them have alike is one stage; the joined profile is named after all of them.

    Raises PipelineError for a profile that is not there, not valid, or whose stages differ under one
    name or leave their results in one place, and for a change that names no stage.
    """
    read = [_read(name) for name in names_or_paths]
    for change in changes:
        _apply([tree for _, tree in read], change)
    profiles = [(origin, _validate(origin, tree)) for origin, tree in read]
    stages: dict[str, StageSpec] = {}
    places: dict[str, str] = {}
    for origin, profile in profiles:
        for stage in profile.stages:
            if stages.setdefault(stage.name, stage) != stage:
                raise PipelineError(f"{origin}: stages.{stage.name}: differs from that of another profile")
            if places.setdefault(stage.makes, stage.name) != stage.name:
                raise PipelineError(
                    f"{origin}: stages.{stage.name}.makes: {stage.makes}: expected a place of its own, "
                    f"found that of {places[stage.makes]}"
                )
    return PipelineProfile(
        name="+".join(profile.name for _, profile in profiles),
        description=" ".join(profile.description for _, profile in profiles),
        stages=tuple(stages.values()),
    )


def _read(name_or_path: str) -> tuple[str, dict[str, Any]]:
    """A profile's origin, for messages, and its YAML."""
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise PipelineError(f"{path}: expected a YAML file, found none")
        text, origin = path.read_text(), str(path)
    elif name_or_path in shipped_profiles():
        text = (resources.files("palletjack_cli") / "pipelines" / f"{name_or_path}.yaml").read_text()
        origin = f"profile {name_or_path}"
    else:
        raise PipelineError(
            f"--profile: expected a YAML file or one of {', '.join(shipped_profiles())}, "
            f"found {name_or_path!r}"
        )
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PipelineError(f"{origin}: not readable as YAML: {error}") from error
    if not isinstance(tree, dict) or not isinstance(tree.get("stages"), list):
        raise PipelineError(f"{origin}: stages: expected a list of stages, found none")
    return origin, tree


def _validate(origin: str, tree: dict[str, Any]) -> PipelineProfile:
    try:
        return PipelineProfile.model_validate(tree)
    except ValidationError as error:
        raise PipelineError("\n".join(f"{origin}: {line}" for line in _explain(error))) from error


def expand(profile: PipelineProfile, variables: Mapping[str, str]) -> list[Stage]:
    """Return the stages to run with ``variables`` filled in; those without their requirement are left out.

    Raises PipelineError for an unknown variable.
    """
    return [
        _fill(stage, variables)
        for stage in profile.stages
        if not stage.requires or stage.requires in variables
    ]


def _fill(spec: StageSpec, variables: Mapping[str, str]) -> Stage:
    def fill(text: str) -> str:
        try:
            return text.format_map(variables)
        except (KeyError, ValueError, IndexError) as error:
            raise PipelineError(
                f"stages.{spec.name}: {text!r}: expected only {{{'}, {'.join(sorted(variables))}}} "
                f"in braces, found {error}"
            ) from error

    words, identity = [spec.run], [spec.run]
    for name, value in spec.options.items():
        words += _flag(name.replace("_", "-"), value, fill)
        identity += _flag(name.replace("_", "-"), value, str)
    makes = Path(fill(spec.makes))
    return Stage(
        spec=spec,
        command=tuple(words),
        identity=tuple(identity),
        makes=makes,
        result=Path(fill(spec.result)) if spec.result else makes,
        resume_when=None if spec.resume is None else Path(fill(spec.resume.when)),
    )


def _flag(name: str, value: OptionValue, fill: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, list):
        return [word for item in value for word in (f"--{name}", fill(str(item)))]
    return [f"--{name}", fill(str(value))]


def _apply(trees: Sequence[dict[str, Any]], change: str) -> None:
    """Set one option of one stage, in each tree that has it; a list option (such as ``set``) grows."""
    target, equals, value = change.partition("=")
    stage_name, dot, option = target.partition(".")
    if not equals or not dot:
        raise PipelineError(
            f"--option: expected STAGE.OPTION=VALUE such as frames.frames=500, found {change!r}"
        )
    stages = [stage for tree in trees for stage in tree["stages"]]
    matching = [stage for stage in stages if stage.get("name") == stage_name]
    if not matching:
        names = list(dict.fromkeys(str(stage.get("name")) for stage in stages))
        near = difflib.get_close_matches(stage_name, names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; expected one of {', '.join(names)}"
        raise PipelineError(f"--option {change}: no stage {stage_name!r}{hint}")
    for stage in matching:
        options = stage.setdefault("options", {})
        if isinstance(options.get(option), list):
            options[option] = [*options[option], value]
        else:
            options[option] = yaml.safe_load(value)


def _explain(error: ValidationError) -> list[str]:
    return [
        f"{'.'.join(map(str, item['loc'])) or '(file)'}: {item['msg'].removeprefix('Value error, ')}"
        for item in error.errors()
    ]
