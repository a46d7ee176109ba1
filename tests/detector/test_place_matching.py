"""Which place belongs to which box, checked against every way that a locator could have left boxes out."""

from __future__ import annotations

import itertools

import pytest

from palletjack_detection.place_matching import Label, match_places

TRUCK, LIKE_IT, OTHER = Label("palletjack", 0.9), Label("palletjack", 0.9), Label("palletjack", 0.8)


def test_boxes_of_equal_score_have_each_its_own_place() -> None:
    assert match_places([TRUCK, LIKE_IT, OTHER], [TRUCK, LIKE_IT, OTHER]) == {0: 0, 1: 1, 2: 2}


def test_a_box_between_others_that_is_not_placed_moves_no_place() -> None:
    assert match_places([TRUCK, OTHER, LIKE_IT], [OTHER, TRUCK]) == {1: 0, 2: 1}
    assert match_places([TRUCK, OTHER, LIKE_IT], [TRUCK, OTHER]) == {0: 0, 1: 1}


def test_a_place_that_may_be_of_either_box_is_given_to_none() -> None:
    assert match_places([TRUCK, LIKE_IT, OTHER], [TRUCK, OTHER]) == {2: 1}


def test_ids_tell_boxes_apart_where_both_have_them() -> None:
    first, second = Label("palletjack", 0.9, "1"), Label("palletjack", 0.9, "2")
    assert match_places([first, second], [second]) == {1: 0}
    assert match_places([first, second], [TRUCK, LIKE_IT]) == {0: 0, 1: 1}, "placed before they were tracked"
    assert match_places([TRUCK], [first]) == {}


@pytest.mark.parametrize("places", [[OTHER, TRUCK], [Label("person", 0.9)], [TRUCK, TRUCK]])
def test_places_that_are_not_of_these_boxes_are_not_used(places: list[Label]) -> None:
    assert match_places([TRUCK, OTHER], places) == {}


def test_no_box_ever_gets_a_place_that_may_be_another_ones() -> None:
    """Of all boxes and all subsets that are placed: a match is one that every explanation shares."""
    for labels in itertools.product((TRUCK, OTHER), repeat=5):
        explanations: dict[tuple[Label, ...], list[tuple[int, ...]]] = {}
        for count in range(6):
            for kept in itertools.combinations(range(5), count):
                explanations.setdefault(tuple(labels[index] for index in kept), []).append(kept)
        for places, ways in explanations.items():
            sure = {
                way[place]: place
                for place in range(len(places))
                for way in ways[:1]
                if all(other[place] == way[place] for other in ways)
            }
            assert match_places(labels, places) == sure
