"""A module and its port: parameters are matched and said, and real differences of the frameworks are found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equigrad.crosscheck.arguments import matched
from equigrad.crosscheck.crosschecks import crosscheck

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy
X = np.random.default_rng(0).standard_normal((5, 4))


def dense(p: Any, x: Any) -> Any:
    return jnp.tanh(x @ p["kernel"] + p["bias"])


def layer() -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh())


ZEROS = {"kernel": np.zeros((4, 3)), "bias": np.zeros(3)}


def test_a_transposed_weight_is_found_and_said() -> None:
    result = crosscheck(torch=layer(), jax=dense, inputs=X, parameters=ZEROS)
    assert result.agreed, str(result)
    assert result.matches == (
        "parameters['kernel'] is 0.weight transposed, by name and shape",
        "parameters['bias'] is 0.bias, by name and shape",
    )
    assert [leaf.shape for leaf in result.functions[0].leaves] == [(4, 3), (3,)]


@pytest.mark.parametrize(
    ("mapping", "why"),
    [({"0.weight": "['kernel']"}, "mapping"), ({"0.weight": ("['kernel']", (1, 0))}, "mapping"), (None, "values")],
    ids=["by a mapping", "by a mapping with axes", "by their values"],
)
def test_parameters_are_matched(mapping: Any, why: str) -> None:
    module = layer()
    values = {"kernel": module[0].weight.detach().numpy().T, "bias": module[0].bias.detach().numpy()}
    result = crosscheck(torch=module, jax=dense, inputs=X, parameters=values, mapping=mapping)
    assert result.agreed
    assert result.matches[0] == f"parameters['kernel'] is 0.weight transposed, by {why}"


def test_square_weights_follow_the_others_or_the_name() -> None:
    square, wide = np.zeros((3, 3)), np.zeros((3, 4))
    state = {"a.weight": square, "b.weight": wide}
    flipped = matched(state, {"parameters['a']['w']": square, "parameters['b']['w']": wide.T}, {})
    kept = matched(state, {"parameters['a']['w']": square, "parameters['b']['w']": wide}, {})
    assert [m.transposed for m in flipped] == [True, True]
    assert [m.transposed for m in kept] == [False, False]
    assert [m.transposed for m in matched({"a.weight": square}, {"parameters['a']['kernel']": square}, {})] == [True]


@pytest.mark.needs("equinox")
def test_an_equinox_module_is_its_own_parameters() -> None:
    import equinox as eqx

    class Model(eqx.Module):
        first: Any
        second: Any

        def __call__(self, x: Any) -> Any:
            return jax.vmap(lambda row: self.second(jax.nn.relu(self.first(row))))(x)

    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.LeakyReLU(0.3), torch.nn.Linear(6, 2))
    keys = np.zeros((2, 2), np.uint32)  # nothing is drawn: the parameters are those of the module
    shapes = eqx.filter_eval_shape(lambda k: Model(eqx.nn.Linear(4, 6, key=k[0]), eqx.nn.Linear(6, 2, key=k[1])), keys)
    model = jax.tree.map(lambda leaf: jnp.asarray(np.zeros(leaf.shape, leaf.dtype)), shapes)
    result = crosscheck(torch=module, jax=model, inputs=X)
    assert result.parting is not None
    assert result.parting.torch.part_of == "1, LeakyReLU"
    assert result.parting.jax.file == __file__


def test_a_module_alone_is_held_to_its_own_differences() -> None:
    result = crosscheck(torch=layer(), inputs=X)
    assert result.agreed
    assert [leaf.path for leaf in result.functions[0].leaves] == ["parameters['0.weight']", "parameters['0.bias']"]
    assert result.functions[0].forward_mode is not None
    assert result.functions[0].forward_mode < 1e-12


def test_a_wrong_rule_is_caught_without_a_second_function() -> None:
    @jax.custom_vjp
    def double(x: Any) -> Any:
        return 2 * x

    double.defvjp(lambda x: (2 * x, None), lambda _, g: (3 * g,))
    result = crosscheck(jax=lambda x: double(x).sum(), inputs=X)
    assert not result.agreed
    assert result.functions[0].forward_mode is None
    assert "differences of the function itself" in result.functions[0].leaves[0].message


def test_a_wrong_rule_is_where_the_backward_passes_part() -> None:
    @jax.custom_vjp
    def double(x: Any) -> Any:
        return 2 * x

    double.defvjp(lambda x: (2 * x, None), lambda _, g: (3 * g,))

    def f(x: Any) -> Any:
        doubled = double(x)
        return jnp.tanh(doubled).sum()

    result = crosscheck(torch=lambda x: (2 * x).tanh().sum(), jax=f, inputs=X)
    assert result.parting is not None
    assert result.parting.direction == "backward"
    assert result.parting.jax.line == f.__code__.co_firstlineno + 1


def test_a_stop_in_both_is_no_disagreement() -> None:
    result = crosscheck(torch=lambda x: x * x.detach(), jax=lambda x: x * jax.lax.stop_gradient(x), inputs=X)
    assert result.agreed
    assert any("stopped or redefined on purpose" in note for note in result.notes)


def test_the_sixth_in_float32_of_pytorchs_hardsigmoid_is_found() -> None:
    """A real one: in float64 the derivative of aten.hardsigmoid is a sixth rounded to float32."""
    x = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    torch.nn.functional.hardsigmoid(x).backward()
    assert x.grad.item() == float(np.float32(1) / np.float32(6)) != 1 / 6
    result = crosscheck(torch=torch.nn.functional.hardsigmoid, jax=jax.nn.hard_sigmoid, inputs=X)
    if result.agreed:
        pytest.skip("this PyTorch has it fixed")
    assert result.parting is not None
    assert result.parting.torch.operation == "aten.hardsigmoid_backward"
