"""Wrong parameters and values are refused with an error that says which, why, and what to do."""

import math
from typing import Any

import pytest
import torch

import pyro.distributions as dist
from pyro.distributions import constraints
from tests.distributions.examples.example import Example
from tests.distributions.table import (
    ABSTRACT,
    EXAMPLES,
    MADE_OF_OTHERS,
    WITHOUT_DENSITY,
    WRONG_PARAMETERS,
    WRONG_VALUES,
    ids,
)

T = torch.tensor
NAN = math.nan


@pytest.mark.parametrize("law, build, name, constraint", WRONG_PARAMETERS)
def test_wrong_parameters(law: str, build: Any, name: str, constraint: str) -> None:
    with pytest.raises(ValueError) as caught:
        build()
    message = str(caught.value)
    assert message.startswith(f"{law}: parameter {name!r} must"), message
    assert constraint in message
    assert message.rstrip(".").count(". ") >= 1, "the error has no remedy"


def offered() -> set[str]:
    return {
        name
        for name in dist.__all__
        if isinstance(getattr(dist, name), type)
        and issubclass(getattr(dist, name), dist.Distribution)
    }


def test_every_law_with_parameters_is_in_the_table() -> None:
    shown = {law for law, *_ in WRONG_PARAMETERS}
    assert offered() - ABSTRACT - MADE_OF_OTHERS - shown == set()


def test_every_law_with_a_density_is_in_the_table_of_values() -> None:
    shown = {type(law).__name__ for law, *_ in WRONG_VALUES} | {"Unit"}  # no entries to be wrong

    def is_shown(name: str) -> bool:
        """Whether the law is there, or one whose density it inherits; masked laws take NaN."""
        bases = getattr(dist, name).__mro__
        scorer = next(i for i, base in enumerate(bases) if "log_prob" in vars(base))
        return "Masked" in name or any(base.__name__ in shown for base in bases[: scorer + 1])

    missing = offered() - ABSTRACT - MADE_OF_OTHERS - WITHOUT_DENSITY
    assert {name for name in missing if not is_shown(name)} == set()


@pytest.mark.parametrize("example", EXAMPLES, ids=ids)
def test_no_law_scores_what_is_no_number(example: Example) -> None:
    law = example.make()
    value = torch.full(law.shape(), NAN)
    masked = isinstance(law, dist.MaskedDistribution) or "Masked" in example.name
    if masked or law.support.check(value).all():
        pytest.skip("the law may be asked")
    with pytest.raises(ValueError, match="must lie within the support"):
        law.log_prob(value)


@pytest.mark.parametrize("law, value, support", WRONG_VALUES)
def test_wrong_values(law: Any, value: torch.Tensor, support: str) -> None:
    with pytest.raises(ValueError, match="must lie within the support") as caught:
        law.log_prob(value)
    message = str(caught.value)
    assert support in message
    assert "isnan" in message if value.isnan().any() else "Correct the data" in message


@pytest.mark.parametrize("law, value, support", WRONG_VALUES)
def test_nothing_is_checked_where_validation_is_off(
    law: Any, value: torch.Tensor, support: str
) -> None:
    if isinstance(law, dist.Categorical):
        pytest.skip("a position that is not there can only be refused")
    with dist.validation_enabled(False):
        law.log_prob(value)


def test_the_offending_entry_is_named() -> None:
    with pytest.raises(ValueError, match=r"1 of 4 do not; the first, at \[1, 1\], is -4.0"):
        dist.Gamma(1.0, T([[1.0, 2.0], [3.0, -4.0]]))
    with pytest.raises(ValueError, match=r"2 of 3 do not; the first, at \[0\], is -1.0"):
        dist.Exponential(torch.ones(3)).log_prob(T([-1.0, 2.0, -3.0]))
    with pytest.raises(ValueError, match=r"but it is -1.0\. Map an unconstrained number into it"):
        dist.Normal(0.0, -1.0)
    with pytest.raises(ValueError, match="A NaN comes from an earlier computation"):
        dist.Normal(T([0.0, NAN]), 1.0)


@pytest.mark.parametrize(
    "law, shape, fact",
    [
        (
            dist.Normal(torch.zeros(3), 1.0),
            (2,),
            r"shape \(2,\), which does not broadcast with \(3,\)",
        ),
        (
            dist.Dirichlet(torch.ones(3)),
            (2,),
            r"rightmost dimensions must be the event shape \(3,\)",
        ),
        (dist.Normal(torch.zeros(2, 3), 1.0).to_event(1), (2,), "does not broadcast"),
        (dist.Normal(torch.zeros(3), 1.0).mask(T([True, False, True])), (2,), "does not broadcast"),
        (dist.Categorical(torch.ones(3, 2)), (2,), "does not broadcast"),
    ],
)
def test_wrong_shapes(law: Any, shape: Any, fact: str) -> None:
    with pytest.raises(ValueError, match=fact):
        law.log_prob(torch.zeros(shape))


def test_a_value_that_is_no_tensor() -> None:
    with pytest.raises(
        ValueError, match=r"must be a tensor, not float 0.5. Wrap it in torch.tensor"
    ):
        dist.Normal(0.0, 1.0).log_prob(0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("law", [dist.Normal, dist.LogNormal, dist.Gamma, dist.Uniform])
def test_a_parameter_that_is_no_number(law: Any) -> None:
    with pytest.raises(
        ValueError, match=f"{law.__name__}: parameter '.*' must be a number or a tensor"
    ):
        law([0.0, 1.0], 1.0)


@pytest.mark.parametrize("law", [dist.Normal, dist.LogNormal, dist.Gamma, dist.Beta])
def test_parameters_that_do_not_broadcast(law: Any) -> None:
    with pytest.raises(ValueError, match=f"{law.__name__}: the shapes of the parameters do not"):
        law(torch.ones(2), torch.ones(3))


@pytest.mark.parametrize(
    "law", [dist.Bernoulli, dist.Categorical, dist.Geometric, dist.OneHotCategorical]
)
def test_alternative_parameters(law: Any) -> None:
    with pytest.raises(ValueError, match="takes either 'probs' or 'logits', but none of them"):
        law()
    both = torch.ones(2), torch.ones(2)
    with pytest.raises(
        ValueError, match="takes either 'probs' or 'logits', but 'probs' and 'logits'"
    ):
        law(*both)


def test_one_matrix() -> None:
    eye = torch.eye(2)
    with pytest.raises(ValueError, match="takes either 'covariance_matrix' or 'precision_matrix'"):
        dist.MultivariateNormal(torch.zeros(2))
    with pytest.raises(ValueError, match="'covariance_matrix' and 'scale_tril' was given"):
        dist.MultivariateNormal(torch.zeros(2), eye, scale_tril=eye)
    with pytest.raises(ValueError, match=r"must be a matrix, .* its shape is \(2,\)"):
        dist.MultivariateNormal(torch.zeros(2), torch.ones(2))
    with pytest.raises(ValueError, match="'loc' needs a dimension"):
        dist.MultivariateNormal(torch.zeros(()), eye)
    with pytest.raises(ValueError, match="'concentration' needs a dimension"):
        dist.Dirichlet(torch.ones(()))
    with pytest.raises(
        ValueError, match="'probs' must be a tensor with a dimension for the choices"
    ):
        dist.Categorical(torch.ones(()))


def test_flags_of_one_object() -> None:
    with pytest.raises(ValueError, match="'scale' must satisfy"), dist.validation_enabled(False):
        dist.Normal(0.0, -1.0, validate_args=True)
    unchecked = dist.Normal(0.0, -1.0, validate_args=False)
    assert unchecked.log_prob(T(0.0)).isnan()
    assert not unchecked.expand([3])._validate_args
    assert not dist.LogNormal(0.0, 1.0, validate_args=False).base_dist._validate_args


class Undeclared(dist.TorchDistribution):
    """A law by somebody who declares nothing."""

    def __init__(self, v: torch.Tensor) -> None:
        self.v = v
        super().__init__(v.shape)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return value - self.v


def test_a_law_that_declares_nothing_is_warned_about_once() -> None:
    with pytest.warns(UserWarning, match="Undeclared defines no arg_constraints"):
        law = Undeclared(torch.zeros(2))
    Undeclared(torch.zeros(2))
    with pytest.warns(UserWarning, match="Undeclared defines no support"):
        law.log_prob(torch.zeros(2))
    law.log_prob(torch.zeros(2))


class Declared(Undeclared):
    """The same, declared."""

    arg_constraints = {"v": constraints.positive}
    support = constraints.nonnegative


def test_a_law_of_ones_own_is_checked() -> None:
    with pytest.raises(ValueError, match="Declared: parameter 'v' must satisfy GreaterThan"):
        Declared(torch.zeros(2))
    law = Declared(torch.ones(2))
    with pytest.raises(ValueError, match="must lie within the support GreaterThanEq"):
        law.log_prob(-torch.ones(2))
    assert law.log_prob(torch.ones(2)).shape == (2,)


def test_inside_vmap_there_is_nothing_to_check() -> None:
    loc = torch.linspace(-1.0, 1.0, 3)
    scored = torch.func.vmap(lambda m: dist.Normal(m, 2.0).log_prob(m + 1))(loc)
    torch.testing.assert_close(scored, dist.Normal(loc, 2.0).log_prob(loc + 1))
    gradient = torch.func.grad(lambda s: dist.LogNormal(0.0, s).log_prob(T(1.0)))(T(2.0))
    torch.testing.assert_close(gradient, T(-0.5))


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*is deprecated:DeprecationWarning")
def test_a_traced_law_follows_its_inputs() -> None:
    def score(loc: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return dist.Normal(loc, 2.0).log_prob(value) + dist.HalfNormal(1.0).log_prob(value)

    traced = torch.jit.trace(score, (T(0.0), T([1.0, 2.0])))
    value = T([3.0, 0.5])
    torch.testing.assert_close(traced(T(1.0), value), score(T(1.0), value))


def test_laws_compile_into_one_graph() -> None:
    def score(x: torch.Tensor) -> torch.Tensor:
        laws = [
            dist.Normal(0.0, 1.0),
            dist.LogNormal(x, x.exp()),
            dist.Gamma(2.0, x).expand([3, 2]),
            dist.HalfCauchy(x).mask(x > 0.5),
            dist.Uniform(0.0, 1.0),
            dist.Delta(x),
        ]
        return sum((law.log_prob(x).sum() for law in laws), dist.Normal(x, 1.0).rsample().sum() * 0)

    value = T([0.3, 0.6])
    try:
        compiled = torch.compile(score, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(value), score(value))
        with pytest.raises(ValueError, match="'scale' must satisfy"):
            dist.Normal(0.0, -1.0)  # torch.compile has switched off torch's own checks, not ours
    finally:
        dist.enable_validation()
