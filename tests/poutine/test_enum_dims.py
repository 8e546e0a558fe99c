"""The allocator of enumeration dimensions: what is held, seen and given again."""

from hypothesis import given, settings
from hypothesis import strategies as st

from pyro.poutine.enum_dims import EnumDims, MarkovFrame

Scope = dict[MarkovFrame, int]


def step(t: int, history: int = 1, context: int = 0, start: int = 0) -> Scope:
    """The scope of step ``t`` of a chain."""
    first = max(start, t - history)
    return {MarkovFrame(context, s, s): t - s for s in range(first, t + 1)}


def replayed(t: int, history: int = 1, context: int = 9, steps: int = 5) -> Scope:
    """The scope of step ``t`` of an axis that may be come back to."""
    near = range(max(0, t - history), min(steps, t + history + 1))
    return {MarkovFrame(context, s, None): t - s for s in near}


def enumerate_at(dims: EnumDims, scope: Scope) -> tuple[int, int]:
    dim, id_ = dims.claim(scope)
    dims.hold(dim, id_, scope)
    return dim, id_


def test_sites_outside_keep_their_dimension() -> None:
    dims = EnumDims(-3)
    assert [enumerate_at(dims, {}) for _ in range(3)] == [(-3, 0), (-4, 1), (-5, 2)]
    assert dims.visible({}) == {-3: 0, -4: 1, -5: 2} == dims.visible(step(4))


def test_a_chain_takes_turns() -> None:
    dims = EnumDims(-1)
    enumerate_at(dims, {})
    assert [enumerate_at(dims, step(t))[0] for t in range(5)] == [-2, -3, -2, -3, -2]
    assert dims.visible(step(5)) == {-1: 0, -2: 5}


def test_no_later_site_outside_takes_a_dimension_that_a_chain_used() -> None:
    dims = EnumDims(-1)
    for t in range(3):
        enumerate_at(dims, step(t))
    assert dims.visible({}) == {}
    assert enumerate_at(dims, {})[0] == -3


def test_two_contexts_know_nothing_of_each_other() -> None:
    dims = EnumDims(-1)
    enumerate_at(dims, step(0, context=0))
    assert dims.visible(step(0, context=1)) == {}
    assert enumerate_at(dims, step(0, context=1)) == (-1, 1)


def test_an_inner_context_sees_the_outer_steps_alone() -> None:
    dims = EnumDims(-1)
    outer = [{MarkovFrame(0, s, s): t - s for s in range(max(0, t - 1), t + 1)} for t in range(2)]
    inner = [{MarkovFrame(1 + t, 0, 10 + t): 0} for t in range(2)]
    enumerate_at(dims, outer[0])
    enumerate_at(dims, {**inner[0], **outer[0]})
    assert dims.visible({**inner[1], **outer[1]}) == {-1: 0}
    assert dims.visible(outer[1]) == {-1: 0}


def test_an_axis_that_may_be_come_back_to_keeps_its_dimensions_from_others() -> None:
    dims = EnumDims(-1)
    assert [enumerate_at(dims, replayed(t))[0] for t in range(4)] == [-1, -2, -1, -2]
    assert enumerate_at(dims, step(0))[0] == -3
    assert [enumerate_at(dims, replayed(t))[0] for t in range(4)] == [-3, -4, -3, -4]
    assert dims.visible(replayed(1)) == {-1: 0, -2: 1, -3: 5, -4: 6}


def test_what_goes_on_leaves_earlier_dimensions_and_ids_alone() -> None:
    dims = EnumDims(-2)
    enumerate_at(dims, {})
    enumerate_at(dims, step(0))
    after = dims.resumed()
    assert after.visible({}) == {} and after.first == -2
    assert enumerate_at(after, step(0)) == (-4, 2)


def test_a_dimension_given_elsewhere_can_be_held() -> None:
    dims = EnumDims(-1)
    dims.hold(-5, 7, {})
    dims.hold(-6, 9, step(0))
    assert dims.visible(step(1)) == {-5: 7, -6: 9}
    assert [enumerate_at(dims, step(1)) for _ in range(5)][-1] == (-7, 14)


def test_a_value_that_varies_holds_its_dimension_once() -> None:
    dims = EnumDims(-1)
    dim, id_ = enumerate_at(dims, step(0))
    for _ in range(3):
        dims.hold(dim, id_, step(1))
    assert dims.visible(step(2)) == {dim: id_}
    assert enumerate_at(dims, step(2))[0] == -2


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()), min_size=1, max_size=12),
    st.integers(0, 2),
)
def test_no_site_meets_two_with_one_dimension(
    sites: list[tuple[int, bool, bool]], history: int
) -> None:
    """Whatever the order of sites on an axis, in a chain and outside of both."""
    dims, held, ticks, start = EnumDims(-1), [], 0, 0
    for position, on_axis, in_chain in sites:
        scope: Scope = replayed(position, history) if on_axis else {}
        if in_chain:
            scope |= step(ticks, history, start=start)
            ticks += 1
        else:
            start = ticks  # a chain that was left begins anew
        seen = [(dim, id_) for dim, id_, frames in held if _sees(scope, frames)]
        assert len({dim for dim, _ in seen}) == len(seen)
        assert dict(dims.visible(scope)) == dict(seen)
        dim, id_ = enumerate_at(dims, scope)
        held.append((dim, id_, [frame for frame, steps_back in scope.items() if not steps_back]))


def _sees(scope: Scope, frames: list[MarkovFrame]) -> bool:
    return all(scope.get(frame, -1) >= 0 for frame in frames)
