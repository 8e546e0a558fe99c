"""Orders of elimination: what goes first, and how much is filled in."""

from pyro.infer.autoguide.elimination import Extent, Front, eliminate


def numbers(extents: dict[str, Extent], fronts: list[Front]) -> dict[str, int]:
    """How many entries the rows of one site have, on and off the diagonal blocks."""

    def length(name: str, joint: tuple[int, ...]) -> int:
        product = extents[name].width
        for dim in joint:
            product *= extents[name].sizes[dim]
        return product

    found = {}
    for front in fronts:
        own = length(front.site, front.joint)
        apart = length(front.site, tuple(extents[front.site].sizes)) // own
        found[front.site] = apart * own * (own + sum(length(*near) for near in front.near))
    return found


def test_a_chain_is_eliminated_without_fill() -> None:
    names = [f"x{i}" for i in range(50)]
    extents = {name: Extent({}, 2) for name in names}
    links = {
        name: {names[j] for j in (i - 1, i + 1) if 0 <= j < 50} for i, name in enumerate(names)
    }
    fronts = eliminate(extents, links)
    assert sorted(front.site for front in fronts) == sorted(names)
    assert all(len(front.near) <= 1 for front in fronts)


def test_inner_plates_go_before_outer_ones() -> None:
    extents = {
        "top": Extent({}, 1),
        "group": Extent({-2: 10}, 1),
        "item": Extent({-2: 10, -1: 20}, 1),
    }
    links = {"top": {"group"}, "group": {"top", "item"}, "item": {"group"}}
    fronts = eliminate(extents, links)
    assert [front.site for front in fronts] == ["item", "group", "top"]
    assert all(front.joint == () for front in fronts)
    assert numbers(extents, fronts) == {"item": 400, "group": 20, "top": 1}


def test_of_two_crossing_plates_the_shorter_becomes_a_vector() -> None:
    extents = {"row": Extent({-2: 30}, 1), "column": Extent({-1: 5}, 1)}
    fronts = eliminate(extents, {"row": {"column"}, "column": {"row"}})
    assert fronts == [Front("row", (), (("column", (-1,)),)), Front("column", (-1,), ())]


def test_elements_that_depend_on_each_other_are_one_vector() -> None:
    extents = {"x": Extent({-1: 4}, 2, frozenset({-1})), "y": Extent({-1: 4}, 1)}
    fronts = eliminate(extents, {"x": {"y"}, "y": {"x"}})
    assert fronts == [Front("y", (), (("x", (-1,)),)), Front("x", (-1,), ())]


def test_neighbours_become_neighbours_of_each_other() -> None:
    extents = {name: Extent({}, 1) for name in ("hub", "a", "b")} | {"c": Extent({}, 100)}
    links = {"hub": {"a", "b", "c"}, "a": {"hub"}, "b": {"hub"}, "c": {"hub"}}
    fronts = eliminate(extents, links)
    assert [front.site for front in fronts][:2] == ["b", "a"]
    square = {"a": {"b", "d"}, "b": {"a", "c"}, "c": {"b", "d"}, "d": {"a", "c"}}
    fronts = eliminate({name: Extent({}, 1) for name in square}, square)
    assert fronts[0] == Front("d", (), (("a", ()), ("c", ())))
    assert {fronts[1].site, *(n for n, _ in fronts[1].near)} == {"a", "b", "c"}
