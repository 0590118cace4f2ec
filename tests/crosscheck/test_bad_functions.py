"""What a user's function may do wrong: one line each, which says where; nothing of the user's is written to."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equigrad import cli
from equigrad.common.errors import UsageError
from equigrad.crosscheck.crosschecks import crosscheck
from equigrad.crosscheck.result import Crosscheck

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy
X = np.array([[0.3, -1.2, 0.8], [1.1, 0.4, -0.5]])


def square(x: Any) -> Any:
    return (x**2).sum()


def raises(x: Any) -> Any:
    raise RuntimeError("no such\nlayer")


def random_torch(x: Any) -> Any:
    return (x * torch.rand(3, dtype=x.dtype)).sum()


def writes(x: Any) -> Any:
    x.detach().mul_(2)
    return (x**2).sum()


def writes_data(x: Any, n: Any) -> Any:
    n.add_(1)
    return (x**2).sum()


def elsewhere(x: Any) -> Any:
    return square(jax.device_put(x, jax.devices("nowhere")[0]))


def of_linear(leaf: tuple[int, ...], **mapping: str) -> dict[str, Any]:
    """A linear layer, a JAX function, and one leaf of parameters."""
    layer = {"torch": torch.nn.Linear(3, 2), "jax": square, "parameters": {"w": np.zeros(leaf)}}
    return {**layer, "mapping": mapping} if mapping else layer


def message(result: Crosscheck, name: str) -> str:
    found = next(f for f in result.functions if f.name == name)
    assert "\n" not in found.message
    return f"{found.outcome}: {found.message}"


@pytest.mark.parametrize(
    ("functions", "name", "said"),
    [
        ({"torch": raises, "jax": square}, "torch", "failed: RuntimeError: no such layer"),
        ({"torch": square, "jax": raises}, "jax", "failed: RuntimeError: no such layer"),
        ({"torch": square, "jax": lambda x: (x.sum(), x)}, "jax", "jax's result[0], result[1]"),
        ({"torch": square, "jax": lambda x: x**2}, "jax", "torch's value has shape (), jax's (2, 3)"),
        ({"torch": lambda x: "text", "jax": square}, "torch", "result is of type str - expected tensors"),
        ({"torch": random_torch, "jax": square}, "torch", "nondeterministic: two calls differ in result"),
        ({"torch": writes, "jax": square}, "torch", "failed: ValueError: it changes its input inputs"),
        ({"torch": lambda x: square(x.cuda()), "jax": square}, "torch", "failed: "),
        ({"torch": square, "jax": elsewhere}, "jax", "failed: RuntimeError: Unknown backend"),
        ({"torch": lambda x: x @ torch.ones(3), "jax": lambda x: x.sum(1)}, "torch", 'or ask with dtype="float32"'),
        ({"torch": lambda x: (x - x).sum() / (x - x).sum(), "jax": square}, "torch", "torch's value holds NaN"),
    ],
    ids=[
        "a torch function that raises", "a JAX function that raises", "another structure", "another shape", "no tensor",
        "random", "writes to its input", "a device that is absent", "a platform that is absent",
        "constants in float32", "NaN",
    ],
)  # fmt: skip
def test_it_is_said_in_one_line_and_the_other_function_is_still_run(functions: Any, name: str, said: str) -> None:
    before = X.copy()
    if "cuda" in said and torch.cuda.is_available():
        pytest.skip("the device is here")
    result = crosscheck(inputs=X, **functions)
    assert not result.agreed
    assert said in message(result, name)
    assert len(result.functions) == 2
    assert (before == X).all()


def test_data_that_is_written_to_is_named() -> None:
    result = crosscheck(torch=writes_data, jax=lambda x, n: square(x), inputs={"x": X, "n": np.arange(3)})
    assert message(result, "torch") == "failed: ValueError: it changes its input inputs['n']"


def test_a_numpy_function_that_writes_is_refused_and_the_input_stays() -> None:
    def doubles(x: np.ndarray) -> Any:
        x *= 2
        return x.sum()

    before = X.copy()
    with pytest.raises(UsageError, match="it changes its input inputs"):
        crosscheck(numpy=(doubles, np.ones_like), inputs=X)
    assert (before == X).all()


@pytest.mark.parametrize(
    ("f_torch", "f_jax", "at", "agreed"),
    [
        (lambda x: x.relu().sum(), lambda x: jax.nn.relu(x).sum(), [1.0, 0.0], True),
        (lambda x: x.abs().sum(), lambda x: jnp.abs(x).sum(), [1.0, 0.0], False),
        pytest.param(
            lambda x: torch.where(x > 0, x, 0 * x).sum(),
            lambda x: jnp.where(x >= 0, x, 0 * x).sum(),
            [1.0, 0.0],
            False,
            marks=pytest.mark.slow,
        ),
        (lambda x: x.amax(), lambda x: x.max(), [1.0, 1.0], True),
    ],
    ids=["ReLU at 0", "|x| at 0, where PyTorch has 0 and JAX 1", "ReLU at 0, differently", "a tie of max"],
)
def test_where_no_derivative_exists_it_is_said_and_the_two_are_still_compared(
    f_torch: Any, f_jax: Any, at: list[float], agreed: bool
) -> None:
    result = crosscheck(torch=f_torch, jax=f_jax, inputs=np.array(at))
    assert result.agreed is agreed
    (note,) = result.notes
    assert note.startswith("not differentiable at these inputs, in inputs: differences tell of ")


def test_integers_and_booleans_are_data() -> None:
    inputs = {"x": X, "rows": np.array([1, 0, 1]), "mask": np.array([True, False, True])}
    result = crosscheck(
        torch=lambda x, rows, mask: (x[rows] * mask).sum(),
        jax=lambda x, rows, mask: (x[rows] * mask).sum(),
        inputs=inputs,
    )
    assert result.agreed
    assert [leaf.path for leaf in result.functions[0].leaves] == ["inputs['x']"]


def test_the_modules_own_state_stays() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    before = {name: v.clone() for name, v in model.state_dict().items()}
    result = crosscheck(torch=model, inputs=X)
    assert result.agreed, str(result)
    assert any("changes its buffers (1.running_mean, 1.running_var" in note for note in result.notes)
    assert all(torch.equal(v, before[name]) for name, v in model.state_dict().items())
    assert all(p.grad is None and p.dtype == torch.float32 for p in model.parameters())


def test_dropout_is_random_until_eval() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 40), torch.nn.Dropout())
    assert "eval()" in message(crosscheck(torch=model, inputs=X), "torch")
    assert crosscheck(torch=model.eval(), inputs=X).agreed


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, "nothing to check: a NumPy function needs"),
        ({"torch": 3}, "torch= is an int - expected a function"),
        ({"torch": square, "inputs": np.arange(3)}, "nothing to differentiate: no floating-point array among inputs"),
        ({"torch": square, "inputs": np.ones(0)}, "nothing to differentiate: every array is empty"),
        ({"torch": square, "inputs": np.array([1j])}, "inputs is complex128 - expected numbers"),
        ({"torch": square, "inputs": 3}, "nothing to differentiate: give floating-point numbers"),
        ({"torch": square, "elements": 9}, "elements goes with a NumPy function"),
        ({"torch": square, "jax": square, "mapping": {"a": "b"}}, "mapping goes with a torch.nn.Module"),
        (of_linear((5, 5)), "no counterpart in the module"),
        (of_linear((3, 2), wieght="['w']"), "did you mean 'weight'?"),
        (of_linear((3, 2), bias="['w']"), "in another order"),
    ],
    ids=[
        "nothing", "no function", "integers alone", "no element", "complex", "a number alone",
        "elements of no NumPy function", "a mapping of nothing", "no counterpart", "mistyped", "unlike shapes",
    ],
)  # fmt: skip
def test_arguments_that_cannot_be_used_are_refused_in_one_line(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        crosscheck(**{"inputs": X, **changed})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", [lambda x: os._exit(0), lambda x: sys.exit(0)], ids=["os._exit", "sys.exit"])
def test_a_function_that_ends_the_process_is_an_error_for_the_library_too(ending: Any) -> None:
    with pytest.raises(UsageError, match="a function that is compared would end this process"):
        crosscheck(torch=ending, numpy=lambda x: (x * x).sum(), inputs=np.ones(2))


def test_a_function_that_failed_has_no_leaf_and_no_error_in_a_notebook() -> None:
    html = crosscheck(torch=lambda x: 1 / 0, numpy=lambda x: (x * x).sum(), inputs=np.ones(2))._repr_html_()
    assert "ZeroDivisionError" in html
    assert "()" not in html


@pytest.mark.parametrize("ending", ["os._exit(0)", "sys.exit(0)"])
def test_a_function_that_ends_the_process_is_named_with_status_2(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = f"import os, sys, torch\ndef f(x): {ending}\ndef n(x): return (x * x).sum()\n"
    (tmp_path / "ending.py").write_text(code)
    np.savez(tmp_path / "data.npz", x=np.ones(2))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys, "argv", ["equigrad", "crosscheck", "torch=ending.py:f", "numpy=ending.py:n", "--inputs", "data.npz"]
    )
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2
    assert "would end this process" in capsys.readouterr().err


def test_wrong_functions_that_decide_by_their_numbers_differ_and_it_is_said_why_no_line_is_named() -> None:
    ours = lambda x: 2 * x.sum() if x.sum() > 0 else -x.sum()  # noqa: E731
    result = crosscheck(torch=ours, jax=lambda x: x.sum() if x.sum() > 0 else -x.sum(), inputs=X)
    assert "torch's value is 1.8, jax's 0.9" in message(result, "torch")
    assert any("jax's function decides by numbers that it computes" in note for note in result.notes)


def test_a_module_whose_shapes_are_still_open_is_refused() -> None:
    with pytest.raises(UsageError, match=r"weight and bias of the module have no shape yet: call it once before"):
        crosscheck(torch=torch.nn.LazyLinear(3), inputs=X)


@pytest.mark.usefixtures("unsearched")
@pytest.mark.parametrize(("factor", "agreed"), [(1, True), (1.1, False)], ids=["its port", "a tenth more"])
def test_a_torch_function_with_tensors_of_float32_is_compared_where_that_is_asked_for(
    factor: float, agreed: bool
) -> None:
    weights = torch.tensor([[1.0, 2.0], [0.5, -1.0], [0.25, 3.0]])
    result = crosscheck(
        torch=lambda x: torch.tanh(x @ weights).sum(),
        jax=lambda x: factor * jnp.tanh(x @ weights.numpy()).sum(),
        inputs=X,
        dtype="float32",
    )
    assert result.agreed is agreed, str(result)


def test_a_numpy_function_that_is_random_is_refused_for_that() -> None:
    with pytest.raises(UsageError, match="two calls of the NumPy function differ in result: fix its random seed"):
        crosscheck(numpy=lambda x: (x * np.random.rand()).sum(), torch=square, inputs=X)


def test_a_function_that_takes_its_parameters_last_is_told_the_order() -> None:
    result = crosscheck(
        torch=torch.nn.Linear(3, 2),
        jax=lambda x, p: x @ p["weight"].T + p["bias"],
        parameters={"weight": np.zeros((2, 3)), "bias": np.zeros(2)},
        inputs=np.ones((4, 3)),
    )
    assert message(result, "jax").startswith("failed: ")
    assert [note for note in result.notes if "parameters first" in note] == [
        "jax's function was called with the parameters first, then the inputs"
    ]


def test_where_no_gradient_flows_in_torch_values_are_compared_and_its_line_is_named() -> None:
    def theirs(x: Any) -> Any:
        return torch.sin(x.detach()).sum()

    def port(x: Any, factor: float = 1.0) -> Any:
        return factor * jnp.sin(x).sum()

    flowing = crosscheck(torch=theirs, jax=port, inputs=X)
    assert not flowing.agreed
    assert flowing.parting is not None
    assert (flowing.parting.kind, flowing.parting.torch.line) == ("stopped", theirs.__code__.co_firstlineno + 1)
    assert any("no gradient flows through torch's result" in note for note in flowing.notes)
    assert crosscheck(torch=theirs, jax=lambda x: jax.lax.stop_gradient(port(x)), inputs=X).agreed
    wrong = crosscheck(torch=theirs, jax=lambda x: jax.lax.stop_gradient(port(x, 1.001)), inputs=X)
    assert "torch's value is" in message(wrong, "jax")


@pytest.mark.usefixtures("unsearched")
def test_a_function_that_makes_float32_of_its_own_is_checked_in_float32_and_told_so() -> None:
    def theirs(x: Any) -> Any:
        return 3 * torch.tanh(x).sum()

    def port(x: Any) -> Any:
        step = lambda carry, _: (carry + jnp.tanh(x).sum(), None)  # noqa: E731
        return jax.lax.scan(step, jnp.zeros((), "float32"), length=3)[0]

    assert 'ask with dtype="float32"' in message(crosscheck(torch=theirs, jax=port, inputs=X), "jax")
    assert crosscheck(torch=theirs, jax=port, inputs=X, dtype="float32").agreed
    wrong = crosscheck(torch=theirs, jax=lambda x: 1.001 * port(x), inputs=X, dtype="float32")
    assert [f.outcome for f in wrong.functions] == ["disagree", "disagree"]
