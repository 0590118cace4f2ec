"""`equigrad.crosscheck`: a derivative of anybody's function, in three frameworks, leaf by leaf."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

import equigrad
from equigrad.common.errors import UsageError
from equigrad.console import show
from equigrad.crosscheck import measuring, view
from equigrad.crosscheck.crosschecks import crosscheck
from equigrad.crosscheck.nesting import leaves, over
from equigrad.crosscheck.result import Crosscheck
from length import at_length

GENERATOR = np.random.RandomState(0)
INPUTS = {"layer": (GENERATOR.standard_normal((3, 2)), [GENERATOR.standard_normal(2)]), "x": np.ones((4, 3)) / 3}


def network(xp: Any) -> Any:
    def f(p: Any) -> Any:
        w, (b,) = p["layer"]
        return (xp.tanh(p["x"] @ w + b) ** 2).sum()

    return f


def by_hand(p: Any) -> Any:
    w, (b,) = p["layer"]
    t = np.tanh(p["x"] @ w + b)
    d = 2 * t * (1 - t * t)
    return {"layer": (p["x"].T @ d, [d.sum(axis=0)]), "x": d @ w.T}


@pytest.fixture(params=["float64", "float32"])
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_right_gradient_agrees_in_every_framework(dtype: str) -> None:
    torch, jnp = pytest.importorskip("torch"), pytest.importorskip("jax.numpy")
    result = equigrad.crosscheck(
        numpy=(network(np), by_hand), torch=network(torch), jax=network(jnp), inputs=INPUTS, dtype=dtype
    )
    assert result.agreed, str(result)
    assert result.referee == "complex step"
    assert [f.name for f in result.functions] == ["numpy", "torch", "jax"]
    paths = ["inputs['layer'][0]", "inputs['layer'][1][0]", "inputs['x']"]
    assert all([leaf.path for leaf in f.leaves] == paths for f in result.functions)
    tight = 1e-14 if dtype == "float64" else 2e-6
    assert max(leaf.relative_error for f in result.functions for leaf in f.leaves) < tight


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_either_framework_may_be_left_out(framework: str) -> None:
    module = pytest.importorskip(framework if framework == "torch" else "jax.numpy")
    result = crosscheck(numpy=network(np), inputs=INPUTS, **{framework: network(module)})
    assert [f.name for f in result.functions] == [framework]
    assert result.agreed


def spoilt(change: Any) -> Any:
    def df(p: Any) -> Any:
        gradient = by_hand(p)
        w, [b] = gradient["layer"]
        return {**gradient, "layer": (w, [change(b)])}

    return df


@pytest.mark.parametrize(
    ("change", "outcome", "message"),
    [
        (lambda b: b * b.dtype.type(1.0005), "disagree", "referee"),
        (lambda b: -b, "disagree", "referee"),
        (lambda b: b * np.nan, "disagree", "holds NaN or inf"),
        (lambda b: b[:1], "failed", "has shape (1,) - expected (2,)"),
        (lambda b: b.astype("float16"), "wrong-dtype", "is float16 - expected"),
    ],
    ids=["wrong by 0.05 %", "wrong sign", "NaN", "wrong shape", "wrong dtype"],
)
def test_a_wrong_leaf_is_named_and_the_others_are_not(change: Any, outcome: str, message: str, dtype: str) -> None:
    result = crosscheck(numpy=(network(np), spoilt(change)), inputs=INPUTS, dtype=dtype)
    (function,) = result.functions
    assert not result.agreed
    assert function.outcome == outcome
    assert [leaf.outcome for leaf in function.leaves] == ["agree", outcome, "agree"]
    assert function.message == "gradient with respect to inputs['layer'][1][0]"
    assert message in function.leaves[1].message
    assert f"numpy: {outcome} - gradient with respect to inputs['layer'][1][0]" in str(result)


def test_an_error_of_1e_8_shows_in_float64() -> None:
    assert not crosscheck(numpy=(network(np), spoilt(lambda b: b * (1 + 1e-8))), inputs=INPUTS).agreed


def test_a_missing_leaf_is_named() -> None:
    result = crosscheck(numpy=(network(np), lambda p: {"layer": by_hand(p)["layer"]}), inputs=INPUTS)
    assert result.functions[0].leaves[2].message == "no such leaf in the gradient"


@pytest.mark.parametrize(
    ("inputs", "df", "said"),
    [
        (np.ones(2), lambda x: (2 * x,), "inputs - not inputs[0]"),
        (np.ones(9), lambda x: list(2 * x), "inputs - not inputs[0], inputs[1], inputs[2], inputs[3], ..."),
        ([1.0, 2.0], lambda x: 2 * np.array(x), "inputs[0], inputs[1] - not inputs"),
        ({"x": np.ones(2)}, lambda data: {"X": 2 * data["x"]}, "inputs['x'] - not inputs['X']"),
    ],
    ids=["a tuple", "a list", "an array", "another key"],
)
def test_a_gradient_in_another_nesting_is_told_so(inputs: Any, df: Any, said: str) -> None:
    def f(data: Any) -> Any:
        return sum(np.sum(v * v) for v in (data.values() if isinstance(data, dict) else data))

    (function,) = crosscheck(numpy=(f, df), inputs=inputs).functions
    assert function.outcome == "failed"
    assert function.message == f"expected a nesting like what is differentiated: {said}"


def test_another_function_is_told_from_a_wrong_gradient() -> None:
    torch = pytest.importorskip("torch")
    result = crosscheck(numpy=network(np), torch=lambda p: 2 * network(torch)(p), inputs=INPUTS)
    assert "another function: its value is" in result.functions[0].message


def test_a_function_that_raises_is_reported_and_the_others_still_run() -> None:
    torch = pytest.importorskip("torch")
    result = crosscheck(numpy=(network(np), lambda p: p["y"]), torch=network(torch), inputs=INPUTS)
    assert [f.outcome for f in result.functions] == ["failed", "agree"]
    assert result.functions[0].message == "KeyError: 'y'"
    detached = crosscheck(numpy=network(np), torch=lambda p: network(torch)(p).detach(), inputs=INPUTS)
    assert not detached.agreed
    assert any("no gradient flows through torch's result" in note for note in detached.notes)


def test_a_tuple_of_inputs_is_passed_as_separate_arguments() -> None:
    point = (np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    assert crosscheck(numpy=(lambda a, b: (a * b).sum(), lambda a, b: (b, a)), inputs=point).agreed
    assert crosscheck(numpy=(lambda p: (p[0] * p[1]).sum(), lambda p: (p[1], p[0])), inputs=point).agreed


def test_a_leaf_without_influence_has_a_zero_gradient() -> None:
    point = {"used": np.ones(2), "unused": np.ones(3)}

    def square(p: Any) -> Any:
        return (p["used"] ** 2).sum()

    assert crosscheck(numpy=square, torch=square, jax=square, inputs=point).agreed


def test_functions_that_take_no_complex_numbers_are_differenced() -> None:
    def f(x: np.ndarray) -> Any:
        return np.exp(np.asarray(x, float)).sum() if np.isrealobj(x) else 1 / 0

    result = crosscheck(numpy=(f, np.exp), inputs=np.array([1.0, -2.0]))
    assert result.agreed
    assert result.referee == "central differences"
    assert 0 < result.referee_error < 1e-9


def test_a_complex_step_that_lies_is_not_believed() -> None:
    """|x|^2 through conjugation is not analytic: the complex step gives 0, differences give 2 x."""
    result = crosscheck(numpy=(lambda x: (x * np.conj(x)).real.sum(), lambda x: 2 * x), inputs=np.array([1.0, -2.0]))
    assert result.referee == "central differences"
    assert result.agreed


def test_large_leaves_are_sampled() -> None:
    result = crosscheck(numpy=(lambda x: (x**3).sum(), lambda x: 3 * x**2), inputs=np.linspace(1, 2, 1000))
    assert result.agreed
    assert result.functions[0].leaves[0].elements == 200


class Pair(NamedTuple):
    left: Any
    right: Any


def test_any_nesting_keeps_its_kind_and_names_its_leaves() -> None:
    tree = {"a": (1, [2]), 3: Pair(left=4, right={"b": 5})}
    assert leaves(tree) == {
        "inputs['a'][0]": 1,
        "inputs['a'][1][0]": 2,
        "inputs[3].left": 4,
        "inputs[3].right['b']": 5,
    }
    assert over(tree, lambda _, v: -v) == {"a": (-1, [-2]), 3: Pair(left=-4, right={"b": -5})}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"inputs": {"n": np.arange(3)}}, r"nothing to differentiate: no floating-point array among inputs\['n'\]"),
        ({"inputs": np.array([np.nan])}, "inputs holds NaN or inf"),
        ({"inputs": np.array([1.0, 0.0])}, r"has a kink at these inputs, in inputs at \[1\]"),
        ({"inputs": np.ones(2), "dtype": "float16"}, "unknown dtype 'float16'"),
        ({"inputs": np.ones(2), "numpy": (lambda x: x, np.sign)}, r"returned shape \(2,\) - expected one number"),
        ({"inputs": np.ones(2), "numpy": (lambda x: (x.sum(), 0.5), np.sign)}, "returned 2 results - expected one"),
        ({"inputs": np.ones(2), "numpy": (lambda x: np.log(-x).sum(), np.sign)}, "the NumPy function is nan"),
        ({"inputs": np.ones(2), "numpy": lambda x: x.sum()}, "nothing to check"),
        ({"inputs": np.ones(2), "numpy": (lambda x: None, np.sign)}, "result is of type NoneType - expected arrays"),
        ({"inputs": np.ones(2), "numpy": (lambda x: {"a": "b"}, np.sign)}, r"result\['a'\] is of type str - expected"),
    ],
    ids=[
        "integers", "NaN", "a kink", "a dtype", "not a scalar", "a loss and more", "outside its domain",
        "nothing to check", "no result", "a string in the result",
    ],
)  # fmt: skip
def test_what_cannot_be_checked_is_refused_in_one_line(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        crosscheck(**{"numpy": (lambda x: np.maximum(x, 0).sum(), lambda x: 1.0 * (x > 0)), **changed})


def test_a_missing_framework_is_missing_not_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    result = crosscheck(numpy=(network(np), by_hand), torch=lambda p: p, inputs=INPUTS)
    assert [f.outcome for f in result.functions] == ["agree", "missing"]
    assert "pip install 'equigrad[torch]'" in result.functions[1].message
    assert result.agreed


def test_each_step_is_told_and_each_leaf_that_is_held_to_differences() -> None:
    torch = pytest.importorskip("torch")
    told: list[tuple[str, int, int]] = []
    given: dict[str, Any] = {"inputs": (np.ones(2), np.ones(2)), "progress": lambda *step: told.append(step)}
    crosscheck(numpy=(lambda x, y: (x * y).sum(), lambda x, y: (y, x)), **given)
    assert told == [("crosscheck", done, 6) for done in (0, 3, 6)]
    told.clear()
    crosscheck(torch=lambda x, y: torch.sin(x * y).sum(), **given)
    assert told == [("crosscheck", done, 6) for done in (0, 1, 2, 3, 6)]


def test_an_option_that_this_xla_does_not_know_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    jnp = pytest.importorskip("jax.numpy")
    from equigrad.crosscheck import jax_recording

    assert jax_recording._known() == jax_recording.FAST
    monkeypatch.setitem(jax_recording.FAST, "an_option_of_another_year", 1)
    monkeypatch.setattr(jax_recording, "_known", jax_recording._known.__wrapped__)
    assert crosscheck(numpy=network(np), jax=network(jnp), inputs=INPUTS).agreed


def test_jax_computes_what_it_computes_elsewhere_however_quickly_it_is_compiled() -> None:
    """Without any optimization XLA gave NaN."""
    jnp = pytest.importorskip("jax.numpy")

    def f(x: Any) -> Any:
        off = jnp.exp(x) - jnp.exp(x).mean(-1, keepdims=True)
        normed = off / jnp.sqrt((off**2).mean(-1, keepdims=True) + 1e-5)
        weights = jnp.exp(normed - normed.max(-1, keepdims=True))
        return (weights / weights.sum(-1, keepdims=True) * jnp.cos(jnp.arange(18.0).reshape(6, 3))).sum()

    assert crosscheck(jax=f, inputs=1e-3 * np.random.default_rng(2).standard_normal((6, 3))).agreed


def test_scanned_inputs_that_are_exchanged_are_named() -> None:
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")

    def right(x: Any, y: Any) -> Any:
        h = x[0] * 0
        for i in range(len(x)):
            h = torch.tanh(h + x[i] * torch.exp(y[i]))
        return h

    def step(h: Any, xy: Any) -> Any:
        y, x = xy
        return jax.numpy.tanh(h + x * jax.numpy.exp(y)), None

    inputs = {"x": GENERATOR.standard_normal(4), "y": GENERATOR.standard_normal(4)}
    result = crosscheck(torch=right, jax=lambda x, y: jax.lax.scan(step, x[0] * 0, (x, y))[0], inputs=inputs)
    assert result.parting is not None
    assert result.parting.explanation.startswith(
        "two values that are made here are each used in the place of the other"
    )
    assert result.parting.jax.operation == "row"


@pytest.mark.usefixtures("unsearched")
@pytest.mark.parametrize(("factor", "agreed"), [(1, True), (100, False)], ids=["its port", "a hundred times as much"])
def test_where_the_gradient_is_rounding_alone_the_value_still_counts(factor: float, agreed: bool) -> None:
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    result = crosscheck(
        torch=lambda x: torch.softmax(x, -1).sum(),
        jax=lambda x: factor * jax.nn.softmax(x, -1).sum(),
        inputs=np.random.default_rng(0).standard_normal((4, 8)),
    )
    assert result.agreed is agreed
    assert result.bound == 1e-9


@pytest.mark.usefixtures("unsearched")
def test_values_that_cancel_agree_as_their_terms_do() -> None:
    torch, jnp = pytest.importorskip("torch"), pytest.importorskip("jax.numpy")
    x = np.linspace(-1, 1, 7)
    assert crosscheck(torch=lambda x: torch.tanh(x).sum(), jax=lambda x: jnp.tanh(x).sum(), inputs=x).agreed
    off = crosscheck(torch=lambda x: torch.tanh(x).sum(), jax=lambda x: jnp.tanh(x).sum() + 1e-12, inputs=x)
    assert not off.agreed


@pytest.fixture
def doubled() -> Any:
    """tanh, whose backward pass gives twice the gradient, in PyTorch."""
    torch = pytest.importorskip("torch")

    class Doubled(torch.autograd.Function):  # type: ignore[name-defined]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return torch.tanh(x)

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return 2 * g * (1 - torch.tanh(ctx.saved_tensors[0]) ** 2)

    return Doubled.apply


SOME = np.array([[0.3, -1.2], [0.8, 0.0]])


@pytest.mark.parametrize("inside", ["a constant of float32", "all of it in float32", "a corner at one element"])
def test_nothing_excuses_a_gradient_that_is_twice_the_right_one(inside: str, doubled: Any) -> None:
    torch = pytest.importorskip("torch")

    def ending(x: Any, tanh: Any) -> Any:
        if inside == "a constant of float32":
            return (tanh(x) * torch.tensor([1.0, 2.0])).sum()
        return tanh(x.float()).sum() if "all of it" in inside else (tanh(x) + torch.relu(x)).sum()

    assert crosscheck(torch=lambda x: ending(x, torch.tanh), inputs=SOME).agreed
    assert crosscheck(torch=lambda x: ending(x, doubled), inputs=SOME).functions[0].outcome == "disagree"


def test_where_nothing_can_be_told_the_outcome_is_inconclusive(doubled: Any) -> None:
    """A corner at every element, and no forward mode."""
    torch = pytest.importorskip("torch")
    result = crosscheck(torch=lambda x: (doubled(x) + torch.relu(x)).sum(), inputs=np.zeros(3))
    assert (result.functions[0].outcome, result.status) == ("inconclusive", 1)
    assert result.verdict == "inconclusive: nothing can tell whether torch is right here."


def test_what_cannot_be_differentiated_is_no_agreement() -> None:
    jnp = pytest.importorskip("jax.numpy")
    for f, said in ((jnp.fft.fft, "is complex - expected real"), (lambda x: (x > 0).sum(), "no floating-point number")):
        (check,) = crosscheck(jax=f, inputs=np.ones(3)).functions
        assert check.outcome == "failed"
        assert said in check.message
    with pytest.raises(UsageError, match="the NumPy function's result holds no floating-point number"):
        crosscheck(numpy=(lambda x: int(x.sum()), np.zeros_like), inputs=np.ones(3))


@pytest.mark.usefixtures("unsearched")
@pytest.mark.parametrize(("slope", "agreed"), [(1e-6, True), (1.9e-6, False)], ids=["the same", "another slope"])
def test_a_large_value_excuses_no_gradient(slope: float, agreed: bool) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    x = np.array([0.3, -1.2, 0.8])
    result = crosscheck(torch=lambda x: (1e-6 * x).sum() + 1e7, jax=lambda x: (slope * x).sum() + 1e7, inputs=x)
    assert result.agreed is agreed
    assert "differences in inputs are too uncertain to tell anything" in result.notes


@pytest.mark.slow
def test_among_many_corners_the_rest_is_compared_all_over_the_leaf(
    doubled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More corners than halving finds in so many directions."""
    torch = pytest.importorskip("torch")
    size, directions = at_length((400, measuring.DIRECTIONS), short=(100, measuring.DIRECTIONS // 4))
    monkeypatch.setattr(measuring, "DIRECTIONS", directions)
    generator = np.random.default_rng(0)
    x = generator.standard_normal(size) * (generator.random(size) > 0.1)

    def f(x: Any, first: Any) -> Any:
        return (torch.cat((first(x[: size // 2]), torch.tanh(x[size // 2 :]))) + torch.relu(x)).sum()

    right = crosscheck(torch=lambda x: f(x, torch.tanh), inputs=x)
    assert right.agreed
    (told,) = re.findall(rf"differences tell of (\d+) of its {size} elements", right.notes[0])
    assert size / 2 <= int(told) < np.count_nonzero(x)
    assert not crosscheck(torch=lambda x: f(x, doubled), inputs=x).agreed


def test_complex_results_are_refused_of_every_function() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    both = crosscheck(torch=lambda x: (x.sum(), x.sum() * 1j), jax=lambda x: (x.sum(), x.sum() * 1j), inputs=np.ones(2))
    assert [check.outcome for check in both.functions] == ["failed", "failed"]
    one = crosscheck(torch=lambda x: x.sum(), jax=lambda x: x.sum() + 0j, inputs=np.ones(2))
    assert [check.outcome for check in one.functions] == ["agree", "failed"]


def test_a_constant_of_float32_loosens_nothing() -> None:
    jax = pytest.importorskip("jax")

    @jax.custom_vjp
    def tanh(x: Any) -> Any:
        return jax.numpy.tanh(x)

    tanh.defvjp(lambda x: (jax.numpy.tanh(x), x), lambda x, g: (g * (1 - jax.numpy.tanh(x) ** 2) * (1 + 1e-6),))
    ones = np.ones(2, np.float32)
    assert crosscheck(jax=lambda x: (jax.numpy.tanh(x) * ones).sum(), inputs=SOME).bound == 1e-9
    result = crosscheck(jax=lambda x: (tanh(x) * ones).sum(), inputs=SOME)
    assert (result.functions[0].outcome, result.notes) == ("disagree", ())


def test_an_offset_loosens_no_more_than_the_verdict_says() -> None:
    torch = pytest.importorskip("torch")
    right = crosscheck(torch=lambda x: 1e7 + torch.sin(x).sum(), inputs=SOME, dtype="float32")
    assert right.agreed
    right = crosscheck(torch=lambda x: 1e8 + torch.sin(x).sum(), inputs=SOME)
    assert right.agreed
    assert 1e-9 < right.bound < 1e-3


@pytest.mark.usefixtures("unsearched")
@pytest.mark.slow(but=["value-torch"])
@pytest.mark.parametrize("wrong", ["torch", "jax"])
@pytest.mark.parametrize("what", ["value", "gradient"])
def test_of_three_functions_only_the_wrong_one_is_blamed(wrong: str, what: str) -> None:
    torch, jax = pytest.importorskip("torch"), pytest.importorskip("jax")
    right: dict[str, Any] = {"torch": lambda x: torch.sin(x).sum(), "jax": lambda x: jax.numpy.sin(x).sum()}
    stopped = {"torch": lambda x: x.detach(), "jax": jax.lax.stop_gradient}[wrong]
    ours = {
        "value": lambda x: right[wrong](x) / 3,
        "gradient": lambda x: right[wrong](x) + 1e-3 * (x - stopped(x)).sum(),
    }
    result = crosscheck(numpy=lambda x: np.sin(x).sum(), inputs=SOME, **{**right, wrong: ours[what]})
    assert {f.name: f.outcome == "agree" for f in result.functions} == {
        "torch": wrong != "torch",
        "jax": wrong != "jax",
    }


@pytest.mark.usefixtures("unsearched")
def test_without_numpy_it_is_said_whose_gradient_is_the_derivative_of_its_value(doubled: Any) -> None:
    jnp = pytest.importorskip("jax.numpy")
    result = crosscheck(torch=lambda x: doubled(x).sum(), jax=lambda x: jnp.tanh(x).sum(), inputs=SOME)
    assert "torch's gradient in inputs is not the derivative of its value, jax's is" in result.notes


@pytest.mark.usefixtures("unsearched")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "factor"),
    at_length([("jax", 1), ("torch", 1), ("jax", 2), ("torch", 2)], short=[("jax", 1), ("torch", 2)]),
)
def test_where_rounding_inside_hides_mistakes_nothing_is_said_to_agree(name: str, factor: int) -> None:
    torch, jnp = pytest.importorskip("torch"), pytest.importorskip("jax.numpy")
    draw = np.random.default_rng(0).standard_normal
    inputs = {"x": draw((5, 16)), "w": draw((16, 16)) / 4}

    def coarse(x: Any, w: Any) -> Any:
        return factor * (jnp.tanh(x.astype(jnp.bfloat16) @ w.astype(jnp.bfloat16)) ** 2).mean().astype(x.dtype)

    def coarse_torch(x: Any, w: Any) -> Any:
        return factor * (torch.tanh(x.bfloat16() @ w.bfloat16()) ** 2).mean().double()

    ours, theirs = {
        "jax": (lambda x, w: (torch.tanh(x @ w) ** 2).mean(), coarse),
        "torch": (coarse_torch, lambda x, w: (jnp.tanh(x @ w) ** 2).mean()),
    }[name]
    result = crosscheck(torch=ours, jax=theirs, inputs=inputs)
    assert [f.outcome for f in result.functions] == [{1: "inconclusive", 2: "disagree"}[factor]] * 2
    assert f"{name} computes in bfloat16 inside, whatever its inputs: it is compared as such" in result.notes


@pytest.mark.parametrize("inputs", [np.array([-1.0, 2.0]), np.array([0.0, 2.0])], ids=["the value", "the gradient"])
def test_where_both_hold_nan_they_do_not_part(inputs: np.ndarray) -> None:
    torch, jnp = pytest.importorskip("torch"), pytest.importorskip("jax.numpy")
    result = crosscheck(torch=lambda x: torch.sqrt(x).sum(), jax=lambda x: jnp.sqrt(x).sum(), inputs=inputs)
    assert [f.outcome for f in result.functions] == ["inconclusive"] * 2
    assert result.verdict == "inconclusive: nothing can tell whether torch and jax are right here."
    assert result.parting is None


@pytest.mark.usefixtures("unsearched")
@pytest.mark.slow
@pytest.mark.parametrize(("eps", "agreed"), [(1e-5, True), (1e-2, False)], ids=["its port", "another epsilon"])
def test_terms_that_cancel_in_float32_too_are_no_disagreement(eps: float, agreed: bool) -> None:
    torch, jnp = pytest.importorskip("torch"), pytest.importorskip("jax.numpy")
    x = 1e3 + np.random.default_rng(2).standard_normal((4, 8))

    def norm(x: Any) -> Any:
        off = x - x.mean(-1, keepdims=True)
        return ((off / jnp.sqrt((off**2).mean(-1, keepdims=True) + eps)) ** 3).sum()

    ours = lambda x: torch.nn.functional.layer_norm(x, (8,)).pow(3).sum()  # noqa: E731
    assert crosscheck(torch=ours, jax=norm, inputs=x, dtype="float32").agreed is agreed


@pytest.mark.parametrize("inputs", [(np.ones(3),), {"x": np.ones(3)}], ids=["a tuple", "a dictionary"])
def test_inputs_of_one_part_are_taken_apart_as_those_of_several(inputs: Any) -> None:
    def f(x: Any, power: int = 2) -> Any:
        return (x**power).sum()

    assert crosscheck(torch=f, jax=f, inputs=inputs).agreed


def test_of_many_parameters_the_terminal_shows_those_that_do_not_agree(capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")

    def shown(result: Crosscheck) -> str:
        show(view.crosscheck(result))
        return capsys.readouterr().out

    many = view.MANY + 5
    points = {f"w{i}": np.full(2, 1.0 + i) for i in range(many)}
    right = crosscheck(torch=lambda p: sum(torch.sin(v).sum() for v in p.values()), inputs=points)
    text = shown(replace(right, matches=tuple(f"{name} is {name}, by values" for name in points)))
    assert f"all {many}" in text
    assert "w0" not in text
    assert f"{many} parameters are matched" in text
    (function,) = right.functions
    wrong = [replace(leaf, outcome="disagree", message="off") for leaf in function.leaves[: view.FEW + 2]]
    text = shown(replace(right, functions=(replace(function, leaves=(*wrong, *function.leaves[len(wrong) :])),)))
    assert text.count(": off") == view.FEW
    assert "torch: 2 more like these; --json has them all" in text
    assert f"{many - len(wrong)} more" in text
