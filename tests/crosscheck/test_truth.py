"""The referee of a NumPy function: no wrong verdict, no smooth function refused, nothing left out in silence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from equigrad.common.errors import UsageError
from equigrad.crosscheck.arguments import arguments
from equigrad.crosscheck.crosschecks import ELEMENTS, crosscheck
from equigrad.crosscheck.numpy_function import NumpyFunction
from equigrad.crosscheck.slopes import slope
from length import at_length

GENERATOR = np.random.default_rng(0)
X, Y = GENERATOR.standard_normal((20, 4)), GENERATOR.standard_normal(20)
W = GENERATOR.standard_normal(4)


def lasso(w: np.ndarray) -> Any:
    return ((X @ w - Y) ** 2).mean() + 1e-4 * np.abs(w).sum()


def of_the_fit(w: np.ndarray) -> Any:
    x, y = X.astype(w.dtype), Y.astype(w.dtype)
    return 2 * x.T @ (x @ w - y) / w.dtype.type(len(Y))


def test_a_small_penalty_that_is_not_analytic_is_part_of_the_gradient() -> None:
    """The complex step of |w| is 0; it is off by 1e-4, and must not be believed for being near."""
    assert crosscheck(numpy=(lasso, lambda w: of_the_fit(w) + 1e-4 * np.sign(w)), inputs=W).agreed
    assert not crosscheck(numpy=(lasso, of_the_fit), inputs=W).agreed


@pytest.mark.parametrize(
    ("f", "df"),
    [
        (np.linalg.norm, lambda x: x / np.linalg.norm(x)),
        (np.std, lambda x: (x - x.mean()) / (len(x) * np.std(x))),
        (lambda x: (x.astype(float) ** 3).sum(), lambda x: 3 * x**2),
    ],
    ids=["np.linalg.norm", "np.std", "astype(float)"],
)
def test_what_takes_complex_numbers_and_is_wrong_with_them_is_differenced(f: Any, df: Any) -> None:
    result = crosscheck(numpy=(f, df), inputs=W)
    assert result.agreed, str(result)
    assert result.referee == "central differences"
    assert not crosscheck(numpy=(f, lambda x: 1.000001 * df(x)), inputs=W).agreed


OPTIMUM = np.linalg.lstsq(X, Y, rcond=None)[0]
SMOOTH = {
    "a parabola near 0": ((lambda x: (x**2).sum()), (lambda x: 2 * x), np.full(3, 1e-5)),
    "a parabola at 0": ((lambda x: (x**2).sum()), (lambda x: 2 * x), np.zeros(3)),
    "least squares near the optimum": (lambda w: ((X @ w - Y) ** 2).mean(), of_the_fit, OPTIMUM + 1e-7),
    "least squares at the optimum": (lambda w: ((X @ w - Y) ** 2).mean(), of_the_fit, OPTIMUM),
    "-log p at 1e-5": ((lambda p: -np.log(p).sum()), (lambda p: -1 / p), np.array([1e-5, 0.3])),
    "-log p at 1e-12": ((lambda p: -np.log(p).sum()), (lambda p: -1 / p), np.array([1e-12])),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", SMOOTH)
def test_a_smooth_function_is_not_refused(name: str, dtype: str) -> None:
    f, df, point = SMOOTH[name]
    result = crosscheck(numpy=(f, df), inputs=point, dtype=dtype)
    assert result.agreed, str(result)


@pytest.mark.parametrize("name", [name for name in SMOOTH if "at 0" not in name and "at the" not in name])
def test_and_a_wrong_gradient_of_it_is_caught(name: str) -> None:
    f, df, point = SMOOTH[name]
    assert not crosscheck(numpy=(f, lambda x: 1.001 * df(x)), inputs=point).agreed


TABLE = GENERATOR.standard_normal((300, 16))


def forgets_a_row(table: np.ndarray) -> np.ndarray:
    gradient = 2 * table
    gradient[7] = 0
    return gradient


def test_a_row_that_nobody_looked_at_is_caught_along_a_direction_through_all() -> None:
    result = crosscheck(numpy=((lambda t: (t**2).sum()), forgets_a_row), inputs=TABLE, elements=10)
    assert not result.agreed
    assert "wrong along a direction through all" in result.functions[0].leaves[0].message


def test_what_was_not_looked_at_is_said_and_can_be_set() -> None:
    few = crosscheck(numpy=((lambda t: (t**2).sum()), (lambda t: 2 * t)), inputs=TABLE[:15], elements=10)
    assert few.agreed
    assert few.functions[0].leaves[0].elements == 10
    assert any("10 elements of inputs" in note and "elements=" in note for note in few.notes)
    all_ = crosscheck(numpy=((lambda t: (t**2).sum()), (lambda t: 2 * t)), inputs=TABLE[:15], elements=240)
    assert all_.functions[0].leaves[0].elements == 240 > ELEMENTS
    assert not all_.notes
    with pytest.raises(UsageError, match="elements must be at least 1"):
        crosscheck(numpy=(np.sum, np.ones_like), inputs=TABLE, elements=0)


@pytest.mark.usefixtures("unsearched")
@pytest.mark.slow
def test_every_element_of_torch_and_jax_is_compared() -> None:
    """An embedding that gives no gradient to its padding, in PyTorch only."""
    torch, jnp = pytest.importorskip("torch"), pytest.importorskip("jax.numpy")
    rows = np.arange(20).reshape(4, 5)
    table = GENERATOR.standard_normal((20, 16))
    assert table.size > ELEMENTS

    def f_torch(table: Any, rows: Any) -> Any:
        return torch.tanh(torch.nn.functional.embedding(rows, table, padding_idx=3)).sum()

    result = crosscheck(torch=f_torch, jax=lambda table, rows: jnp.tanh(table[rows]).sum(), inputs=(table, rows))
    assert not result.agreed
    assert "at [3, " in result.functions[1].leaves[0].message


def asserts(x: np.ndarray) -> Any:
    assert (x.real > 0).all()
    return np.log(x).sum()


@pytest.mark.parametrize(
    ("f", "df", "point"),
    [
        (lambda x: sum(math.log(v) for v in x), lambda x: 1 / x, np.array([1e-3, 0.5])),
        (lambda a: 2 * np.log(np.linalg.cholesky(a).diagonal()).sum(), np.linalg.inv, 1e-3 * np.eye(2)),
        (asserts, lambda x: 1 / x, np.array([1e-3, 0.5])),
    ],
    ids=["math.log", "cholesky", "assert"],
)
def test_a_function_that_raises_outside_of_its_domain_is_differenced_within_it(f: Any, df: Any, point: Any) -> None:
    result = crosscheck(numpy=(f, df), inputs=point)
    assert result.agreed, str(result)
    assert not crosscheck(numpy=(f, lambda x: 1.000001 * df(x)), inputs=point).agreed


def test_a_function_that_raises_for_complex_numbers_has_no_complex_step_though_its_slope_is_0() -> None:
    result = crosscheck(numpy=(lambda x: 3.0 + 0 * sum(map(math.exp, x)), np.zeros_like), inputs=np.ones(2))
    assert result.agreed
    assert result.referee == "central differences"


def test_inputs_that_overflow_when_moved_are_not_said_to_be_changed() -> None:
    function = NumpyFunction(np.sum, arguments(np.ones(2)))
    assert np.isnan(function.results({"inputs": np.array([1.0, np.nan])})["result"])


@pytest.mark.parametrize(
    ("f", "derivative", "kinked"),
    [
        (lambda t: abs(t), 0.0, True),
        (lambda t: max(t, 0.0) * 1e-4 + np.sin(t + 1), np.cos(1) + 5e-5, True),
        (lambda t: np.exp(3 + t), np.exp(3), False),
        (lambda t: max(t - 0.003, 0) * 5 + np.cos(t + 1), -np.sin(1), False),
        (lambda t: np.sin(100 * t + 1), 100 * np.cos(1), False),
        (lambda t: -np.log(1e-5 + t) if t > -1e-5 else np.nan, -1e5, False),
    ],
    ids=["|t|", "a small corner", "exp", "a corner nearby", "fast", "the end of its domain nearby"],
)
def test_a_slope_is_right_within_its_uncertainty_and_a_corner_is_seen(f: Any, derivative: float, kinked: bool) -> None:
    found = slope(f)
    assert found.kinked is kinked
    assert abs(found.value - derivative) <= 10 * found.uncertainty + 1e-15
    assert found.uncertainty <= 1e-10 * max(1.0, abs(derivative))


ODD: dict[str, tuple[Any, Any]] = {
    "x": (lambda x: x, np.ones_like),
    "sin": (np.sin, np.cos),
    "tanh": (np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "x cubed": (lambda x: x**3, lambda x: 3 * x**2),
    "sin 10 x": (lambda x: np.sin(10 * x), lambda x: 10 * np.cos(10 * x)),
    "sin 100 x": (lambda x: np.sin(100 * x), lambda x: 100 * np.cos(100 * x)),
    "x exp(-x x)": (lambda x: x * np.exp(-x * x), lambda x: np.exp(-x * x) * (1 - 2 * x * x)),
}


@pytest.mark.slow(but=["3-up to 0.1"])
@pytest.mark.parametrize("end", at_length([0.1, 1.0, np.pi], short=[0.1, np.pi]), ids=lambda end: f"up to {end:.3g}")
@pytest.mark.parametrize("count", [3, 11])
@pytest.mark.parametrize(("f", "df"), ODD.values(), ids=ODD)
def test_a_gradient_is_right_where_the_terms_of_the_value_cancel(f: Any, df: Any, count: int, end: float) -> None:
    x = np.linspace(-end, end, count)
    assert crosscheck(numpy=(lambda x: f(x).sum(), df), inputs=x).agreed
    wrong = crosscheck(numpy=(lambda x: f(x).sum(), lambda x: df(x) * (1 + 1e-6)), inputs=x)
    assert wrong.functions[0].outcome == "disagree"


@pytest.mark.parametrize(("factor", "agreed"), [(1.0, True), (1 + 1e-6, False)], ids=["right", "wrong"])
def test_a_function_of_small_numbers_is_followed_down_to_them(factor: float, agreed: bool) -> None:
    """The first steps are thousands of its periods."""
    torch = pytest.importorskip("torch")

    class Sine(torch.autograd.Function):  # type: ignore[name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return torch.sin(x / 1e-6)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * torch.cos(ctx.saved_tensors[0] / 1e-6) / 1e-6 * factor

    result = crosscheck(torch=lambda x: Sine.apply(x).sum(), inputs=np.linspace(-1, 1, 5) * 1e-6)
    assert result.agreed is agreed


def test_what_is_round_on_the_scale_of_its_inputs_has_no_kink() -> None:
    """From afar it looks like |x|."""
    x = np.array([3e-7, -2e-6, 1e-6])
    f, df = lambda x: np.sqrt((x * x).sum() + 1e-12), lambda x: x / np.sqrt((x * x).sum() + 1e-12)
    assert crosscheck(numpy=(f, df), inputs=x).agreed
    assert not crosscheck(numpy=(f, lambda x: df(x) * (1 + 1e-6)), inputs=x).agreed


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_numpy_function_that_computes_in_float32_is_refused_and_not_called_wrong(dtype: str) -> None:
    with pytest.raises(UsageError, match="computes in float32 inside, or its terms cancel"):
        crosscheck(
            numpy=(lambda x: np.tanh(x.astype(np.float32)).sum(), lambda x: 1 - np.tanh(x) ** 2),
            inputs=np.array([0.3, -1.2, 0.8]),
            dtype=dtype,
        )


NEAR_THE_END = np.array([0.999, -0.999, 0.998, 0.3])


@pytest.mark.parametrize(
    ("f", "df", "x"),
    [
        (lambda x: np.sqrt(1 - x * x).sum(), lambda x: -x / np.sqrt(1 - x * x), NEAR_THE_END),
        (lambda x: np.arcsin(x).sum(), lambda x: 1 / np.sqrt(1 - x * x), NEAR_THE_END),
        (lambda x: (x - x).sum() + 0.25, np.zeros_like, NEAR_THE_END),
    ],
    ids=["a root near the end of its domain", "arcsin near its end", "a constant that float32 holds"],
)
def test_what_float32_holds_by_chance_is_not_taken_for_float32(f: Any, df: Any, x: np.ndarray) -> None:
    assert crosscheck(numpy=(f, df), inputs=x).agreed


SPREAD = np.linspace(-1, 1, 5) + 0.03


@pytest.mark.parametrize(
    ("f", "df", "x"),
    [
        (lambda x: np.exp(x / 5e-4), lambda x: np.exp(x / 5e-4) / 5e-4, SPREAD * 1e-3),
        (lambda x: x**-12.0, lambda x: -12 * x**-13.0, np.array([0.02, 0.021])),
        (lambda x: x**3, lambda x: 3 * x**2, SPREAD * 1e-8),
        (lambda x: 1 - np.cos(x), np.sin, np.array([0.0025, 0.0032, -0.0027])),
        (lambda x: np.exp(x) - 1 - x, np.expm1, np.array([0.001, 0.0005, 0.0045])),
        (lambda x: np.log(1 + x * x), lambda x: 2 * x / (1 + x * x), np.array([0.005, -0.003, 0.002])),
        (np.sin, np.cos, 1e6 + np.random.default_rng(1).standard_normal(12)),
        (lambda x: 1e6 + np.sin(x), np.cos, np.array([1282.48123368, 282.45182529])),
        (np.log, lambda x: 1 / x, np.array([9.7e-5, 4.7e-5, 3e-6, 5.3e-5, 1e-4])),
    ],
    ids=[
        "steep", "steep near a pole", "flat", "one minus a cosine", "an exponential without its first terms",
        "a logarithm of almost one", "far from zero", "behind an offset", "near the end of its domain",
    ],
)  # fmt: skip
def test_a_gradient_is_held_to_its_own_size_however_the_function_looks_from_afar(f: Any, df: Any, x: Any) -> None:
    assert crosscheck(numpy=(lambda x: f(x).sum(), df), inputs=x).agreed
    assert not crosscheck(numpy=(lambda x: f(x).sum(), lambda x: 2 * df(x)), inputs=x).agreed


def test_the_bound_is_never_larger_than_what_counts_as_smooth() -> None:
    """Saturated: a derivative of 1e-35 behind an offset."""
    x = np.array([40.0, -55.0, 120.0])
    f, df = lambda x: 1000 + 1e-6 * np.tanh(x).sum(), lambda x: 1e-6 * (1 - np.tanh(x) ** 2)
    assert crosscheck(numpy=(f, df), inputs=x).bound <= 1e-3


def test_a_corner_among_elements_that_were_not_tried_accuses_nobody() -> None:
    x = np.random.default_rng(9).standard_normal(1000)
    x[777] = 0
    result = crosscheck(numpy=(lambda x: np.maximum(x, 0).sum(), lambda x: (x > 0).astype(x.dtype)), inputs=x)
    assert result.agreed
    assert result.notes == ("the referee was asked at 200 elements of inputs, one by one; elements= asks at more",)


def test_float32_in_the_middle_of_a_numpy_function_is_seen() -> None:
    a = np.random.default_rng(2).standard_normal((5, 6)).astype(np.float32)
    with pytest.raises(UsageError, match="computes in float32 inside"):
        crosscheck(
            numpy=(lambda x: ((a @ x.astype(np.float32) - np.ones(5)) ** 2).sum(), np.zeros_like),
            inputs=np.linspace(-1, 1, 6) + 0.1,
        )


@pytest.mark.parametrize("seed", range(15))
def test_float32_inside_is_seen_wherever_it_is_asked(seed: int) -> None:
    """Not taken for a kink, nor differenced as a staircase."""
    draw = np.random.default_rng(seed).standard_normal
    inputs = {"x": draw((4, 3)), "w": draw((3, 3))}
    with pytest.raises(UsageError, match="computes in float32 inside"):
        crosscheck(
            numpy=(lambda x, w: (np.tanh((x @ w).astype(np.float32).astype(float)) ** 2).sum(), lambda x, w: (x, w)),
            inputs=inputs,
            elements=20,
        )


def ill_conditioned(exponent: int, n: int = 6) -> np.ndarray:
    """A matrix whose condition number is 10 to `exponent`."""
    draw = np.random.default_rng(exponent).normal
    (q, _), (p, _) = np.linalg.qr(draw(size=(n, n))), np.linalg.qr(draw(size=(n, n)))
    return np.asarray(q @ np.diag(np.logspace(0, -exponent, n)) @ p)


HILBERT = 1 / (np.arange(9)[:, None] + np.arange(9) + 1)
MATRICES = {
    "inv of condition number 1e9": ill_conditioned(9),
    "solve of condition number 1e12": ill_conditioned(12),
    "slogdet of Hilbert's, 7 x 7": HILBERT[:7, :7],
    "inv of Hilbert's, 9 x 9": HILBERT,
}


def of_a_matrix(kind: str, library: Any, linalg: Any, factor: float = 1.0) -> Any:
    """A sum over the inverse, a solution of a linear system, or the logarithm of the determinant."""

    def f(a: Any) -> Any:
        if kind == "inv":
            return linalg.inv(a).sum() * factor
        if kind == "solve":
            return linalg.solve(a, library.ones_like(a)[:, :1]).sum() * factor
        return linalg.slogdet(a)[1] * factor

    return f


@pytest.mark.slow
@pytest.mark.parametrize("name", at_length(list(MATRICES), short=list(MATRICES)[-1:]))
def test_a_right_function_of_an_ill_conditioned_matrix_is_not_called_wrong(name: str) -> None:
    """From afar such a function looks round, and nothing like what it is where it was asked."""
    torch, jnp, kind = pytest.importorskip("torch"), pytest.importorskip("jax.numpy"), name.partition(" ")[0]
    ours, theirs = of_a_matrix(kind, torch, torch.linalg), of_a_matrix(kind, jnp, jnp.linalg)
    for functions in ({"torch": ours}, {"jax": theirs}, {"torch": ours, "jax": theirs}):
        result = crosscheck(inputs=MATRICES[name], **functions)
        assert {f.outcome for f in result.functions} <= {"agree", "inconclusive"}, str(result)
    try:
        told = crosscheck(numpy=of_a_matrix(kind, np, np.linalg), torch=ours, inputs=MATRICES[name]).agreed
    except UsageError as refused:  # differences of some of them do not say enough to judge by; none has a kink
        told = "does rounding decide" in str(refused)
    assert told


@pytest.mark.usefixtures("unsearched")
@pytest.mark.slow(but=["1e9"])
@pytest.mark.parametrize("name", ["inv of condition number 1e9", "slogdet of Hilbert's, 7 x 7"])
def test_a_wrong_function_of_an_ill_conditioned_matrix_is_called_wrong(name: str) -> None:
    torch, jnp, kind = pytest.importorskip("torch"), pytest.importorskip("jax.numpy"), name.partition(" ")[0]
    right, wrong = of_a_matrix(kind, torch, torch.linalg), of_a_matrix(kind, jnp, jnp.linalg, 1.01)
    assert not crosscheck(torch=right, jax=wrong, inputs=MATRICES[name]).agreed
    stopped = lambda a: right(a) + 0.05 * right(a).detach()  # noqa: E731
    found = crosscheck(torch=stopped, inputs=MATRICES[name])
    assert [f.outcome for f in found.functions] == ["disagree"], str(found)


def test_labels_that_are_compared_with_a_number_are_no_reason_to_refuse() -> None:
    """A step away no label is 1, and no smaller step changes that."""
    label = np.array([0.0, 1.0, 1.0, 0.0])

    def f(inputs: Any) -> Any:
        return (np.where(inputs["label"] == 1, 1, -1) * inputs["x"] ** 2).sum()

    def df(inputs: Any) -> Any:
        return {"x": np.where(inputs["label"] == 1, 1, -1) * 2 * inputs["x"], "label": np.zeros(4)}

    assert crosscheck(numpy=(f, df), inputs={"x": W, "label": label}).agreed


def test_where_a_gradient_is_lost_to_rounding_it_is_said() -> None:
    """PyTorch's derivative of an inverse is the product of two inverses, as large as they are; JAX's is not."""
    torch = pytest.importorskip("torch")
    a = np.random.default_rng(0).standard_normal((2, 4))

    def f(a: Any) -> Any:
        return torch.cos(a @ torch.linalg.inv(a.mT @ a + 1e-8 * torch.eye(4, dtype=a.dtype))).sum()

    result = crosscheck(torch=f, inputs=a)
    assert not result.agreed
    assert any("the last bits of the inputs change torch's gradient in inputs by" in note for note in result.notes)
