"""What every law promises: shapes, expansion, masking, copies, dtypes."""

import copy
import inspect
import pickle
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import pyro.distributions as dist
from tests.distributions.examples.example import Example
from tests.distributions.table import ABSTRACT, EXAMPLES, MADE_OF_OTHERS, WITHOUT_DENSITY, ids
from tests.helpers import assert_close

every_law = pytest.mark.parametrize("example", EXAMPLES, ids=ids)


def laws_offered() -> dict[str, type]:
    offered = {name: getattr(dist, name) for name in dist.__all__}
    return {
        name: law
        for name, law in offered.items()
        if inspect.isclass(law) and issubclass(law, dist.Distribution)
    }


def test_every_law_has_an_example() -> None:
    shown = {type(example.make()).__name__ for example in EXAMPLES}
    assert set(laws_offered()) - ABSTRACT - WITHOUT_DENSITY - shown == set()


def test_every_law_of_torch_is_offered() -> None:
    torch_laws = {
        name
        for name in torch.distributions.__all__
        if inspect.isclass(law := getattr(torch.distributions, name))
        and issubclass(law, torch.distributions.Distribution)
    }
    assert torch_laws - set(laws_offered()) == set()


@pytest.mark.parametrize("name", sorted(set(laws_offered()) - ABSTRACT))
def test_a_law_is_one_for_torch_too(name: str) -> None:
    law = laws_offered()[name]
    assert issubclass(law, torch.distributions.Distribution)
    assert issubclass(law, dist.TorchDistributionMixin)
    assert law.__doc__ and ":param" in law.__doc__


@every_law
def test_shapes(example: Example) -> None:
    law = example.make()
    batch, event = law.batch_shape, law.event_shape
    assert type(batch) is type(event) is torch.Size
    assert law.event_dim == len(event)
    for sample_shape in (torch.Size(), torch.Size([3]), torch.Size([2, 3])):
        value = law(sample_shape)
        assert value.shape == law.shape(sample_shape) == sample_shape + batch + event
        assert law.sample(sample_shape).shape == value.shape
        assert law.log_prob(value).shape == sample_shape + batch
        assert not law.sample(sample_shape).requires_grad
    assert law([3]).shape == law((3,)).shape == law(torch.Size([3])).shape


@every_law
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_dtypes(example: Example, dtype: torch.dtype) -> None:
    law = example.make(dtype)
    value = law()
    assert value.dtype in (dtype, torch.int64)
    assert law.log_prob(value).dtype == dtype


@every_law
def test_draws_lie_within_the_support(example: Example) -> None:
    law = example.make()
    values = law((50,))
    assert law.support.check(values).all()
    assert law.support.event_dim == law.event_dim or isinstance(law, dist.Unit)


@every_law
def test_expand(example: Example) -> None:
    law = example.make()
    shape = torch.Size([3, 2]) + law.batch_shape
    for expanded in (law.expand(shape), law.expand(list(shape)), law.expand_by([3, 2])):
        assert type(expanded) is type(law)
        assert expanded.batch_shape == shape
        assert expanded.event_shape == law.event_shape
        assert expanded.has_rsample is law.has_rsample
        assert expanded.has_enumerate_support is law.has_enumerate_support
        value = expanded()
        assert value.shape == shape + law.event_shape
        assert_close(expanded.log_prob(value), law.log_prob(value))
        assert_close(expanded.log_prob(value[0, 0]), law.log_prob(value[0, 0]).expand(shape))
        again = expanded.expand(torch.Size([4]) + shape)
        assert_close(again.log_prob(value), law.log_prob(value).expand(again.batch_shape))


@every_law
def test_an_expanded_law_draws_independently(example: Example) -> None:
    law = example.make().expand_by([400])
    if isinstance(law, (dist.Delta, dist.Unit)):
        return
    first, second = law(), law()
    assert (first != second).any()
    # 400 draws all alike would be 400 copies of one draw, unless an event has probability near 1
    assert (first[1:] != first[0]).any()


@every_law
def test_a_stretched_law_draws_independently(example: Example) -> None:
    law = example.make().expand_by([1]).expand_by([1])
    law = law.expand(torch.Size([1, 300]) + law.batch_shape[2:])
    value = law()
    assert value.shape == torch.Size([1, 300]) + law.batch_shape[2:] + law.event_shape
    if not isinstance(law, (dist.Delta, dist.Unit)):
        assert (value[0, 1:] != value[0, 0]).any()


@every_law
def test_a_batch_that_does_not_expand_is_refused(example: Example) -> None:
    law = example.make().expand_by([2])
    with pytest.raises((RuntimeError, ValueError)):
        law.expand(torch.Size([3]) + law.batch_shape[1:])


@every_law
def test_to_event(example: Example) -> None:
    law = example.make().expand_by([2, 3])
    value = law()
    full = law.log_prob(value)
    for count in (0, 1, 2):
        moved = law.to_event(count)
        cut = len(law.batch_shape) - count
        assert moved.batch_shape == law.batch_shape[:cut]
        assert moved.event_shape == law.batch_shape[cut:] + law.event_shape
        assert moved().shape == value.shape
        expected = full.flatten(cut).sum(-1) if count else full
        assert_close(moved.log_prob(value), expected)
        assert moved.expand_by([4]).batch_shape == torch.Size([4]) + moved.batch_shape
    assert law.to_event(0) is law
    assert law.to_event(None).batch_shape == torch.Size()
    assert law.to_event(1).to_event(1).event_shape == law.to_event(2).event_shape
    assert law.to_event(2).to_event(-1).batch_shape == law.to_event(1).batch_shape
    assert law.to_event(2).to_event(-2).batch_shape == law.batch_shape
    with pytest.raises(ValueError, match="batch dimensions"):
        law.to_event(len(law.batch_shape) + 1)


@every_law
def test_mask(example: Example) -> None:
    law = example.make().expand_by([4])
    value = law()
    kept = torch.tensor([True, False, True, False])[(...,) + (None,) * (len(law.batch_shape) - 1)]
    scored = law.log_prob(value)
    assert_close(law.mask(True).log_prob(value), scored)
    assert_close(law.mask(False).log_prob(value), torch.zeros(law.batch_shape))
    assert_close(law.mask(kept).log_prob(value), torch.where(kept, scored, 0.0))
    assert law.mask(kept)().shape == value.shape
    expanded = law.mask(kept).expand_by([2])
    assert_close(expanded.log_prob(value), torch.where(kept, scored, 0.0).expand(2, *scored.shape))


@every_law
def test_copies_score_alike(example: Example) -> None:
    law = example.make()
    value = law()
    for other in (pickle.loads(pickle.dumps(law)), copy.copy(law), copy.deepcopy(law)):
        assert_close(other.log_prob(value), law.log_prob(value))
        assert repr(other) == repr(law)
        assert other.expand_by([2])().shape == law.shape((2,))


@every_law
def test_score_parts(example: Example) -> None:
    law = example.make()
    value = law()
    log_prob, score_function, entropy_term = law.score_parts(value)
    assert_close(log_prob, law.log_prob(value))
    if law.has_rsample:
        assert isinstance(score_function, torch.Tensor) or score_function == 0
        assert_close(entropy_term, log_prob)
    else:
        assert entropy_term == 0
        if not isinstance(law, dist.MaskedDistribution):
            assert_close(score_function, log_prob)


@every_law
def test_gradients_can_be_stopped_on_one_object(example: Example) -> None:
    law = example.make()
    assert law.has_rsample_(False) is law
    assert not law.has_rsample
    assert not law().requires_grad
    derived = [law.expand_by([2]), copy.deepcopy(law), law.mask(True)]
    if law.batch_shape:
        derived.append(law.to_event(1))
    assert not any(other.has_rsample for other in derived)


@every_law
def test_a_law_that_cannot_draw_differentiably_says_so(example: Example) -> None:
    law = example.make()
    if law.has_rsample:
        assert law.has_rsample_(True).has_rsample
    elif type(law).rsample is torch.distributions.Distribution.rsample:
        with pytest.raises(NotImplementedError, match="cannot draw differentiably"):
            law.has_rsample_(True)


@every_law
def test_validation_follows_the_switch(example: Example) -> None:
    law = example.make().expand_by([2])
    assert law._validate_args
    with dist.validation_enabled(False):
        assert not law._validate_args
    assert law._validate_args


@every_law
def test_infer_shapes(example: Example) -> None:
    law = example.make()
    declared = law.arg_constraints
    parameters: dict[str, Any] = {
        name: getattr(law, name).shape
        for name in declared
        if name in vars(law).get("_raw", vars(law))
        or name in ("loc", "scale", "scale_tril", "low", "high")
    }
    if not parameters or isinstance(law, (dist.Delta, dist.LKJCholesky, dist.Wishart)):
        return
    if isinstance(law, dist.LogisticNormal):
        parameters = {"loc": (2,), "scale": (2,)}
    assert type(law).infer_shapes(**parameters) == (law.batch_shape, law.event_shape)


@every_law
def test_moments_have_the_shape_of_a_draw(example: Example) -> None:
    law = example.make()
    for name in ("mean", "variance", "stddev"):
        try:
            moment = getattr(law, name)
        except NotImplementedError:
            continue
        if not isinstance(law, dist.Categorical):
            assert moment.shape == law.shape(), name


@every_law
def test_entropy_has_the_shape_of_the_batch(example: Example) -> None:
    law = example.make()
    try:
        entropy = law.entropy()
    except NotImplementedError:
        return
    assert entropy.shape == law.batch_shape


class Recorder(TorchDispatchMode):
    """Lists the operations that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def operations(law: Any, value: torch.Tensor) -> list[str]:
    with Recorder() as recorder:
        law.log_prob(value)
    return recorder.names


@every_law
def test_validation_that_is_off_costs_nothing(example: Example) -> None:
    law = example.make()
    value = law()
    law.log_prob(value)  # what a law computes once, such as log odds, it computes now
    with dist.validation_enabled(False):
        unchecked = operations(law, value)
    assert not [name for name in unchecked if "_is_all_true" in name]
    parts = [part for part in vars(law).values() if isinstance(part, dist.Distribution)]
    if not parts and example.name not in MADE_OF_OTHERS:  # whose parts have flags of their own
        law._validate_args = False
        assert operations(law, value) == unchecked
