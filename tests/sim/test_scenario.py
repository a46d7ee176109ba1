"""Reading scenarios and building their worlds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from palletjack_sim.scenario import ScenarioError, load_scenario, parse_scenario, shipped_scenarios
from palletjack_sim.world import build_world
from tests.sim.plain_objects import CATALOG
from tests.sim.scenarios import HEAD_ON, head_on


def test_shipped_scenarios_are_valid_and_named_as_their_files() -> None:
    names = shipped_scenarios()
    assert {"head_on", "clear_aisle"} <= set(names)
    for name in names:
        assert load_scenario(name).name == name


@pytest.mark.parametrize("name", ["head_on", "clear_aisle"])
def test_shipped_scenarios_build(name: str) -> None:
    world = build_world(load_scenario(name), seed=0)
    assert len(world.trucks) == (1 if name == "head_on" else 0)
    assert len(world.surfaces) == 6


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("route:", "rout:", r"rout: unknown field, did you mean route\?.*route: Field required"),
        ("speed: 1.0", "sped: 1.0", r"route\.sped: unknown field, did you mean speed\?"),
        ("speed: 1.0", "speed: -1", r"route\.speed: Input should be greater than 0, found -1"),
        ("pose: {x: 4,", "pose: {xx: 4,", r"objects\.1\.pose\.xx: unknown field, did you mean x\?"),
        ("name: carton", "name: truck", "object names must be unique, found truck"),
        ("rate_hz: 5}", "rate_hz: 7}", "whole multiple of camera.rate_hz"),
        ("palletjack-scenario/1", "palletjack-scenario/9", "format"),
    ],
)
def test_wrong_fields_are_named_with_their_path(old: str, new: str, message: str) -> None:
    assert old in HEAD_ON
    with pytest.raises(ScenarioError, match=rf"(?s)scenario x\.yaml: .*{message}"):
        parse_scenario(HEAD_ON.replace(old, new, 1), "x.yaml")


def test_missing_scenario_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"did you mean head_on\?"):
        load_scenario("head_onn")
    with pytest.raises(ScenarioError, match="no such file"):
        load_scenario(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [1, 2")
    with pytest.raises(ScenarioError, match=r"broken\.yaml: not YAML"):
        load_scenario(broken)


def test_unknown_family_and_parameter_are_named() -> None:
    text = HEAD_ON.replace("family: red_truck", "family: red_trucks")
    with pytest.raises(
        ScenarioError, match=r"object truck: unknown family 'red_trucks', did you mean red_truck\?"
    ):
        build_world(parse_scenario(text, "x"), 0, CATALOG)
    text = HEAD_ON.replace("family: red_truck,", "family: red_truck, params: {siz: [1, 1, 1]},")
    with pytest.raises(
        ScenarioError, match=r"object truck: params\.siz: unknown for red_truck, did you mean size\?"
    ):
        build_world(parse_scenario(text, "x"), 0, CATALOG)
    text = HEAD_ON.replace("family: red_truck,", "family: red_truck, params: {size: [1, big, 1]},")
    with pytest.raises(ScenarioError, match=r"object truck: params\.size\.1: .*found 'big'"):
        build_world(parse_scenario(text, "x"), 0, CATALOG)


def test_seed_moves_only_what_may_vary() -> None:
    text = HEAD_ON.replace("family: red_truck,", "family: red_truck, vary: {position: 0.2, yaw_deg: 10},")
    scenario = parse_scenario(text, "x")
    first, second, again = (build_world(scenario, seed, CATALOG) for seed in (1, 2, 1))
    moved = first.instances[0].pose[:2, 3] - second.instances[0].pose[:2, 3]
    assert 0.0 < np.abs(moved).max() <= 0.4
    assert np.array_equal(first.instances[0].pose, again.instances[0].pose)
    assert np.array_equal(first.instances[1].pose, second.instances[1].pose)


def test_only_trucks_are_labelled() -> None:
    world = build_world(head_on(), 0, CATALOG)
    assert [item.label for item in world.instances] == ["palletjack", None]
    assert world.names == {1: "truck", 2: "carton"}
