"""What right functions may take, do inside and give back: none of it is an error."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from equigrad.crosscheck.arguments import arguments
from equigrad.crosscheck.crosschecks import crosscheck

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy
V = np.array([0.3, -0.4, 0.5])


def forces(x: Any) -> Any:
    return torch.autograd.grad(torch.exp(torch.tanh(x) * x).sum(), x, create_graph=True)[0] * x


def energy(x: Any, factor: float = 1.0) -> Any:
    return jnp.exp(factor * jnp.tanh(x) * x).sum()


def test_a_function_may_differentiate_inside() -> None:
    result = crosscheck(torch=forces, jax=lambda x: jax.grad(energy)(x) * x, inputs=V)
    assert result.agreed, str(result)


def test_a_port_of_one_that_differentiates_inside_parts_in_what_is_differentiated() -> None:
    result = crosscheck(torch=forces, jax=lambda x: jax.grad(energy)(x, 1.01) * x, inputs=V)
    assert result.parting is not None
    assert (result.parting.torch.function, result.parting.jax.function) == ("forces", "energy")


def test_a_step_backwards_has_the_line_of_its_own_operation_forwards() -> None:
    from equigrad.crosscheck.torch_function import TorchFunction

    def f(x: Any) -> Any:
        y = x * 3
        ones = torch.ones(3, dtype=x.dtype)  # autograd makes no node of it
        return (torch.exp(y) * (ones + 1)).sum()

    given = arguments(V)
    recording = TorchFunction(f, given).record(given.points, {"result": np.ones(())}, "float64", True)
    last = recording.operations[recording.maker[recording.gradients["inputs"]]]
    assert last.backward
    assert last.lines[0].line == f.__code__.co_firstlineno + 1


def powers(x: Any, n: Any) -> Any:
    return sum((x**i).sum() for i in range(n))


@pytest.mark.slow(but=["the same as an array"])
@pytest.mark.parametrize(
    ("f_torch", "f_jax", "inputs"),
    [
        (powers, powers, (V, 3)),
        (powers, powers, (V, np.array(3))),
        (lambda x, n: x * torch.ones(n, dtype=x.dtype), lambda x, n: x * jnp.ones(n), {"x": V, "n": 3}),
        (
            lambda x, turn: -x if turn else x,
            jax.jit(lambda x, turn: -x if turn else x, static_argnums=1),
            (V, True),
        ),
    ],
    ids=["a number of terms", "the same as an array", "a shape", "a static flag"],
)
def test_a_python_number_or_flag_is_passed_on_as_it_is(f_torch: Any, f_jax: Any, inputs: Any) -> None:
    result = crosscheck(torch=f_torch, jax=f_jax, inputs=inputs)
    assert result.agreed, str(result)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qr", "slogdet"])
def test_a_named_tuple_is_compared_by_position_for_pytorchs_do_not_tell_their_names(name: str) -> None:
    functions = {"torch": getattr(torch.linalg, name), "jax": getattr(jnp.linalg, name)}
    result = crosscheck(**functions, inputs=np.random.default_rng(0).standard_normal((3, 3)))
    assert result.agreed, str(result)


@pytest.mark.slow
def test_none_in_a_result_stands_for_what_was_not_asked_for() -> None:
    attention = torch.nn.MultiheadAttention(4, 2, batch_first=True, dtype=torch.float64)
    taken = {name: p.detach().numpy() for name, p in attention.named_parameters()}

    def port(x: Any) -> Any:
        q, k, v = jnp.split(x @ taken["in_proj_weight"].T + taken["in_proj_bias"], 3, -1)
        heads = [
            jax.nn.softmax(q[..., i : i + 2] @ k[..., i : i + 2].swapaxes(-1, -2) / 2**0.5) @ v[..., i : i + 2]
            for i in (0, 2)
        ]
        return jnp.concatenate(heads, -1) @ taken["out_proj.weight"].T + taken["out_proj.bias"], None

    x = np.random.default_rng(0).standard_normal((1, 3, 4))
    given: dict[str, Any] = {"torch": lambda x: attention(x, x, x, need_weights=False), "inputs": x}
    assert crosscheck(**given, jax=port).agreed
    alone = crosscheck(**given, jax=lambda x: (port(x)[0],))
    assert alone.agreed
    assert alone.verdict == "torch and jax agree within 1e-09 of the largest derivative."
    numpy = crosscheck(numpy=lambda x: ((x**2).sum(), None), jax=lambda x: ((x**2).sum(),), inputs=x)
    assert numpy.verdict == "jax agrees within 1e-09 of the largest derivative."


def asks(x: Any, w: Any, **options: Any) -> Any:
    assert not options
    return (x * w).sum()


def takes_any(**arrays: Any) -> Any:
    return (arrays["x"] * arrays["w"]).sum()


def takes_all(inputs: Any, **options: Any) -> Any:
    assert not options
    return (inputs["x"] * inputs["w"]).sum()


@pytest.mark.parametrize("function", [asks, takes_any, takes_all])
def test_options_are_given_parts_of_a_dictionary_only_where_it_is_not_taken_whole(function: Any) -> None:
    result = crosscheck(torch=function, inputs={"x": V, "w": 2 * V})
    assert result.agreed, str(result)


def test_a_parameter_that_is_asked_for_by_name_is_given_beside_options() -> None:
    def f(x: Any, w: Any = None, **options: Any) -> Any:
        return (x * w).sum()

    assert crosscheck(torch=f, inputs={"x": V, "w": V}).agreed


def test_bfloat16_is_taken_and_returned_by_both() -> None:
    result = crosscheck(torch=lambda x: x.sum(), jax=lambda x: x.sum(), inputs=torch.tensor(V).bfloat16())
    assert result.agreed, str(result)
    result = crosscheck(torch=lambda x: x.bfloat16().sum(), jax=lambda x: x.astype("bfloat16").sum(), inputs=V)
    assert result.agreed, str(result)


W = np.random.default_rng(0).standard_normal((3, 3))
HELD = {"torch": torch.tensor(W), "jax": jnp.array(W, jnp.float32)}


@pytest.mark.usefixtures("unsearched")
@pytest.mark.slow
@pytest.mark.parametrize("port", ["of JAX", "of NumPy"])
def test_it_is_said_where_jax_differs_by_the_rounding_of_its_own_float32_constants(port: str) -> None:
    if port == "of JAX":
        given: dict[str, Any] = {"torch": lambda x: torch.tanh(x @ HELD["torch"]).sum()}
    else:
        given = {"numpy": lambda x: np.tanh(x @ W).sum()}
    result = crosscheck(jax=lambda x: jnp.tanh(x @ HELD["jax"]).sum(), inputs=V, **given)
    assert not result.agreed
    assert any("jax holds constants in float32" in note for note in result.notes)
    wrong = crosscheck(jax=lambda x: jnp.tanh(x @ HELD["jax"] * (1 + 1e-5)).sum(), inputs=V, **given)
    assert not any("constants" in note for note in wrong.notes)


@pytest.mark.usefixtures("unsearched")
@pytest.mark.parametrize("side", ["torch", "jax"])
@pytest.mark.slow(but=["[jax]"])
def test_it_is_said_where_one_side_rounds_data_to_float32_and_nothing_else_differs(side: str) -> None:
    def theirs(p: Any, x: Any) -> Any:
        return torch.tanh((x.float().double() if side == "torch" else x) @ p).sum()

    def port(p: Any, x: Any, factor: float = 1.0) -> Any:
        return factor * jnp.tanh((x.astype("float32").astype("float64") if side == "jax" else x) @ p).sum()

    rounding = "rounds inputs to float32 inside, which is all that differs in the results"
    result = crosscheck(torch=theirs, jax=port, parameters=W, inputs=V)
    assert not result.agreed
    (note,) = (note for note in result.notes if rounding in note)
    assert note.startswith(f"{side} {rounding}")
    result = crosscheck(torch=theirs, jax=partial(port, factor=1 + 1e-6), parameters=W, inputs=V)
    assert not [note for note in result.notes if rounding in note]


def test_where_they_part_is_found_in_a_torch_function_that_refuses_float32() -> None:
    def port(x: Any) -> Any:
        moved = jnp.tanh(x @ W)
        return (moved * (jnp.exp(moved) / jnp.exp(moved).sum() + 1e-3)).sum()

    def theirs(x: Any) -> Any:
        moved = torch.tanh(x @ HELD["torch"])
        return (moved * torch.softmax(moved, -1)).sum()

    parting = crosscheck(torch=theirs, jax=port, inputs=V).parting
    assert parting is not None
    assert (parting.torch.operation, parting.jax.operation) == ("aten._softmax", "add")
