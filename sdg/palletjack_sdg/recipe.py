"""The recipe: every range and weight of a data set, read from YAML and checked on load.

Weights need not sum to one. Ranges are written ``[low, high]``. What a recipe does not name keeps the
default written here, which is that of ``warehouse_v1``.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
)
from pydantic_core import ErrorDetails

from palletjack_sdg.asset_index import find as find_asset
from palletjack_sdg.asset_index import is_asset
from palletjack_sdg.label_rules import LabelRules
from palletjack_sdg.objects import catalog
from palletjack_sdg.objects.pallet_truck_ranges import TruckRanges
from palletjack_sdg.recipe_fields import (
    Fraction,
    IntRange,
    LogRange,
    Range,
    nearest,
    some_weight,
)
from palletjack_sdg.sensor import SensorRanges
from palletjack_sdg.textures import CEILING_TEXTURES, FLOOR_TEXTURES, WALL_TEXTURES

RECIPE_FORMAT = "palletjack-recipe/1"
ModelT = TypeVar("ModelT", bound=BaseModel)

TruckState = Literal["inserted", "free_standing", "under_rack", "beside", "row", "pair", "pulled"]
ZoneName = Literal["rack_aisle", "rack_front", "open_floor", "staging", "pillar_hall", "loading_bay"]


class RecipeError(ValueError):
    """A recipe that cannot be used; the message names the file, the key, and what was expected."""


def _known_families(weights: dict[str, float]) -> dict[str, float]:
    for name in weights:
        if is_asset(name):
            find_asset(name)
        elif name not in catalog.FAMILIES:
            raise ValueError(f"no object family {name!r}{nearest(name, catalog.FAMILIES)}")
    return weights


FamilyWeights = Annotated[dict[str, float], AfterValidator(some_weight), AfterValidator(_known_families)]


class Section(BaseModel):
    """A part of a recipe: frozen, and strict about its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ImageSize(Section):
    """One image size in pixels and how often it is drawn."""

    width: int = Field(ge=64, le=4096)
    height: int = Field(ge=64, le=4096)
    weight: float = Field(default=1.0, gt=0.0)


class TruckSection(TruckRanges, Section):
    """Pallet trucks: how many, how they stand, how large they appear, and (from TruckRanges) what they are.

    ``count`` weighs the number in a frame that has any. ``box_height_px`` is the aim for an upright truck's
    box, at 544 rows. ``close`` is the share of frames whose first truck is to stand right before the camera,
    as a robot sees it that has stopped; about three of four find a place. Its whole box would be
    ``close_height_px`` high, and the image's border mostly cuts it. ``upright`` is the share of parked trucks
    whose tiller stands upright; ``operator_side`` the share of free-standing ones that turn the operator side
    to the camera; ``occluded`` the share of frames in which something is put before a truck on purpose;
    ``least_in_sight`` the share of a truck's head and tiller that goods and other trucks leave free;
    ``raised`` the share of inserted trucks that lift their pallet; ``carton_on_forks`` that of free-standing
    trucks which carry a carton without a pallet; ``bag_on_tiller`` that of parked trucks with a bag or a
    jacket hung on the handle; ``neighbour`` that of trucks without a load, free-standing, under a rack or
    beside things, which are to have another one close beside them. ``families`` may name objects of packs
    beside "palletjack": they stand free, beside things, in rows and in pairs.
    """

    empty_frames: Fraction = 0.12
    count: Annotated[dict[int, float], AfterValidator(some_weight)] = {
        1: 0.4,
        2: 0.3,
        3: 0.18,
        4: 0.08,
        5: 0.04,
    }
    states: Annotated[dict[TruckState, float], AfterValidator(some_weight)] = {
        "inserted": 0.36,
        "free_standing": 0.22,
        "under_rack": 0.1,
        "beside": 0.16,
        "row": 0.07,
        "pair": 0.08,
        "pulled": 0.09,
    }
    families: FamilyWeights = {"palletjack": 1.0}
    loads: FamilyWeights = {"loaded_pallet": 0.55, "collar_pallet": 0.3, "pallet": 0.08, "pallet_stack": 0.07}
    box_height_px: LogRange = (22.0, 450.0)
    close: Fraction = 0.0
    close_height_px: LogRange = (450.0, 1100.0)
    upright: Fraction = 0.7
    operator_side: Fraction = 0.55
    occluded: Fraction = 0.3
    least_in_sight: Fraction = 0.4
    raised: Fraction = 0.45
    carton_on_forks: Fraction = 0.06
    bag_on_tiller: Fraction = 0.04
    neighbour: Fraction = 0.0

    @model_serializer(mode="wrap")
    def _short(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """What came later and is not used is left out: such a recipe keeps the hash it always had."""
        tree: dict[str, Any] = write(self)
        if not self.close:
            del tree["close"], tree["close_height_px"]
        if not self.neighbour:
            del tree["neighbour"]
        return tree

    @field_validator("families")
    @classmethod
    def _labelled_families(cls, weights: dict[str, float]) -> dict[str, float]:
        for name in weights:
            if name != "palletjack" and not is_asset(name):
                raise ValueError(f"expected palletjack or assets:PACK/NAME, found {name!r}")
        return weights

    @field_validator("count")
    @classmethod
    def _count_range(cls, weights: dict[int, float]) -> dict[int, float]:
        if min(weights) < 1 or max(weights) > 8:
            raise ValueError(f"numbers of trucks lie in 1..8, found {sorted(weights)}")
        return weights


class DistractorSection(Section):
    """Everything that is not a pallet truck and not the building.

    ``instances`` bounds the number of placed objects in a frame, trucks and their loads included, the
    building not. Goods fill the rows; vehicles, people and small things stand in what is left. Counts lean to
    the low end. ``near_person`` is the share of frames in which somebody's legs are close to the camera;
    ``near_truck`` the share of vehicles, trolleys and people that stand within two metres of a pallet truck;
    ``behind_truck`` the share of trucks with somebody's legs right behind them; ``close_up`` the share of
    frames in which one thing may fill much of the view. ``row_fill`` is how densely a row is filled.
    """

    instances: IntRange = (15, 45)
    goods: FamilyWeights
    vehicles: FamilyWeights
    vehicle_count: IntRange = (0, 3)
    trolleys: FamilyWeights
    trolley_count: IntRange = (0, 3)
    people: FamilyWeights
    people_count: IntRange = (0, 2)
    near_person: Fraction = 0.08
    near_truck: Fraction = 0.25
    behind_truck: Fraction = 0.05
    close_up: Fraction = 0.15
    clutter: FamilyWeights
    clutter_count: IntRange = (1, 8)
    fixtures: FamilyWeights
    fixture_count: IntRange = (1, 6)
    row_fill: Range = (0.45, 0.95)


class PlaceSection(Section):
    """The room: weights of zones, sizes in metres, textures by name (an empty mapping means all alike).

    ``wet_floor`` is the chance of a floor that is wet or freshly polished: darker and much shinier.
    """

    zones: Annotated[dict[ZoneName, float], AfterValidator(some_weight)] = {
        "rack_aisle": 0.22,
        "rack_front": 0.24,
        "open_floor": 0.22,
        "staging": 0.18,
        "pillar_hall": 0.14,
    }
    aisle_width_m: Range = (2.6, 5.5)
    room_size_m: Range = (9.0, 28.0)
    ceiling_m: Range = (3.4, 9.0)
    low_ceiling_m: Range = (2.9, 4.4)
    wet_floor: Fraction = 0.06
    floors: dict[str, float] = {}
    walls: dict[str, float] = {}
    ceilings: dict[str, float] = {}

    @field_validator("floors", "walls", "ceilings")
    @classmethod
    def _known_textures(cls, weights: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        known = {"floors": FLOOR_TEXTURES, "walls": WALL_TEXTURES, "ceilings": CEILING_TEXTURES}[
            str(info.field_name)
        ]
        for name in weights:
            if is_asset(name):
                find_asset(name, "picture")
            elif name not in known:
                raise ValueError(f"no texture {name!r}{nearest(name, known)}")
        return some_weight(weights) if weights else weights


class LightSection(Section):
    """Light: fluorescent rows, windows and gates, ambient. Radiance in W/m2/sr, temperature in kelvin.

    ``lit`` is the range of the share of fixtures that burn. ``daylight`` is the chance of a bright window
    band or open gate. ``dark_hall`` is the chance that only a few fixtures burn. ``environments`` weighs what
    is seen through gates and windows: "plain" (white), "sky" (procedural), or a pack's map
    (``assets:PACK/NAME``); none means plain. ``environment_radiance`` is a map's mean without its sun.
    ``sun`` is the chance that direct sun falls in where there are windows or gates; it stands
    ``sun_elevation_deg`` high, and its irradiance is ``sun_strength`` times the opening's radiance.
    """

    fixture_radiance: LogRange = (6.0, 60.0)
    temperature_k: Range = (3000.0, 6500.0)
    lit: Range = (0.45, 1.0)
    dark_hall: Fraction = 0.22
    dark_lit: Range = (0.05, 0.3)
    daylight: Fraction = 0.4
    daylight_radiance: LogRange = (8.0, 120.0)
    ambient: LogRange = (0.004, 0.12)
    robot_lamp: Fraction = 0.06
    environments: dict[str, float] = {}
    environment_radiance: LogRange = (2.0, 60.0)
    sun: Fraction = 0.0
    sun_elevation_deg: Range = (8.0, 50.0)
    sun_strength: LogRange = (2.0, 12.0)

    @model_serializer(mode="wrap")
    def _short(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without maps or sun their keys are left out: such a recipe keeps the hash it always had."""
        tree: dict[str, Any] = write(self)
        if not self.environments:
            del tree["environments"], tree["environment_radiance"]
        if not self.sun:
            del tree["sun"], tree["sun_elevation_deg"], tree["sun_strength"]
        return tree

    @field_validator("environments")
    @classmethod
    def _known_environments(cls, weights: dict[str, float]) -> dict[str, float]:
        for name in weights:
            if is_asset(name):
                find_asset(name, "environment")
            elif name not in ("plain", "sky"):
                raise ValueError(f"no environment {name!r}{nearest(name, ('plain', 'sky'))}")
        return some_weight(weights) if weights else weights


class CameraSection(Section):
    """The robot's camera: metres, degrees, and Brown-Conrady k1 with k2 as a share of k1 squared.

    ``usual_height_m`` holds for the share ``usual`` of frames, ``height_m`` for the rest.
    """

    height_m: Range = (0.25, 1.8)
    usual_height_m: Range = (0.3, 1.2)
    usual: Fraction = 0.82
    pitch_deg: Range = (-12.0, 8.0)
    roll_deg: Range = (-3.0, 3.0)
    hfov_deg: Range = (55.0, 110.0)
    k1: Range = (-0.35, 0.02)
    k2_ratio: Range = (0.2, 0.6)
    p1p2: Range = (-0.0008, 0.0008)


class ImageSection(Section):
    """Sizes of the images."""

    sizes: Annotated[tuple[ImageSize, ...], Field(min_length=1)] = (
        ImageSize(width=960, height=544, weight=0.7),
        ImageSize(width=870, height=544, weight=0.15),
        ImageSize(width=726, height=544, weight=0.15),
    )


class Recipe(Section):
    """A complete recipe. ``name`` is that of the data set, not of the file."""

    format: Literal["palletjack-recipe/1"] = "palletjack-recipe/1"
    name: str
    description: str = ""
    image: ImageSection = ImageSection()
    trucks: TruckSection = TruckSection()
    distractors: DistractorSection
    place: PlaceSection = PlaceSection()
    light: LightSection = LightSection()
    camera: CameraSection = CameraSection()
    sensor: SensorRanges = SensorRanges()
    labels: LabelRules = LabelRules()

    def at(self, index: int) -> Recipe:
        """Return the recipe of frame ``index``: this one, where a mix of recipes takes turns."""
        return self


def shipped_recipes() -> list[str]:
    """Return the names of the recipes that come with the package."""
    folder = resources.files("palletjack_sdg") / "recipes"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """Read a shipped recipe by name, or a YAML file by path.

    Raises RecipeError for a missing file, broken YAML, and any key or value that does not fit.
    """
    tree, source = read_tree(name_or_path)
    if "members" in tree:
        raise RecipeError(f"{source}: expected one recipe, found a mix of recipes")
    return validated(Recipe, _on_its_base(tree, name_or_path, source), source)


def _on_its_base(
    tree: dict[str, Any],
    name_or_path: str | Path,
    source: str,
    above: tuple[tuple[str, str], ...] = (),
) -> dict[str, Any]:
    """Return ``tree`` with what it leaves out taken from the recipe that it names as ``base``, if it does.

    Key by key within a section: what is given replaces the base's value, weights as a whole. A base may have
    a base. ``above`` holds the place and the name of each that led here. Raises RecipeError where one is
    missing, is a mix or leads back to itself.
    """
    if "base" not in tree:
        return tree
    base, own = tree["base"], {key: value for key, value in tree.items() if key != "base"}
    if not isinstance(base, str):
        raise RecipeError(f"{source}: base: expected the name or file of a recipe, found {base!r}")
    path = Path(name_or_path)
    # One file may be named in many ways: ../halls/mine.yaml from within halls is mine.yaml.
    place = str(path.resolve()) if path.is_file() else source
    way = (*above, (place, source))
    if place in dict(above):
        raise RecipeError(f"{source}: base: expected an end, found {' -> '.join(name for _, name in way)}")
    beside = path.parent / base
    found = beside if path.is_file() and beside.is_file() else base
    try:
        tree, origin = read_tree(found)
    except RecipeError as error:
        raise RecipeError(f"{source}: base: {error}") from error
    if "members" in tree:
        raise RecipeError(f"{source}: base: expected one recipe, found a mix of recipes, {origin}")
    merged = dict(_on_its_base(tree, found, origin, way))
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = {**merged[key], **value} if both else value
    return merged


def read_tree(name_or_path: str | Path) -> tuple[dict[str, Any], str]:
    """Return the YAML mapping of a shipped recipe or a file, not yet checked, and a name for messages.

    Raises RecipeError for a missing file, broken YAML, a repeated key, and anything but a mapping.
    """
    text, source = _read(name_or_path)
    try:
        tree = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        raise RecipeError(f"{source}: not readable as YAML: {error}") from error
    if not isinstance(tree, dict):
        raise RecipeError(f"{source}: expected a mapping of recipe sections, found {type(tree).__name__}")
    return tree, source


def validated(model: type[ModelT], tree: dict[str, Any], source: str) -> ModelT:
    """Return ``tree`` as a ``model``; RecipeError names every key of ``source`` that does not fit."""
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        lines = [f"{source}: {_explain(model, item)}" for item in error.errors()]
        raise RecipeError("\n".join(lines)) from error


def _read(name_or_path: str | Path) -> tuple[str, str]:
    path = Path(name_or_path)
    if path.is_file():
        return path.read_text(encoding="utf-8"), str(path)
    name = str(name_or_path)
    names = shipped_recipes()
    if name in names:
        source = resources.files("palletjack_sdg") / "recipes" / f"{name}.yaml"
        return source.read_text(encoding="utf-8"), f"recipe {name}"
    raise RecipeError(f"no recipe file and no shipped recipe {name!r}{nearest(name, names)}")


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML in which a key given twice is an error, not the last one's silent victory."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _explain(model: type[BaseModel], item: ErrorDetails) -> str:
    """Turn one pydantic error into "path: what was expected, what was found"."""
    location = [str(step) for step in item["loc"] if step != "[key]"]
    path = ".".join(location)
    if item["type"] == "extra_forbidden":
        valid = _keys_at(model, [str(step) for step in item["loc"][:-1]])
        return f"{path}: unknown key{nearest(location[-1], valid)}"
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "missing":
        return f"{path}: this key is required"
    return f"{path}: {message} (found {item['input']!r})"


def _keys_at(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Return the valid keys of the section that ``path`` leads to from ``model``."""
    for step in path:
        field = model.model_fields.get(step)
        if field is not None:
            found = _section_type(field.annotation)
            if found is not None:
                model = found
    return list(model.model_fields)


def _section_type(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is not None:
        for inner in get_args(annotation):
            found = _section_type(inner)
            if found is not None:
                return found
    return None
