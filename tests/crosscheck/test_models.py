"""A module and its port: parameters are matched and said, and real differences of the frameworks are found."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equigrad.crosscheck.crosschecks import crosscheck
from equigrad.crosscheck.matching import matched

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


@pytest.mark.slow
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


def affine(p: Any, x: Any) -> Any:
    return x @ p["w"] + p["b"]


SQUARE = {"w": np.zeros((4, 4)), "b": np.zeros(4)}


@pytest.mark.parametrize("turned", [False, True], ids=["as it is", "transposed"])
@pytest.mark.parametrize("framework", ["jax", "numpy"])
def test_a_square_weight_is_taken_as_the_results_tell_where_nothing_else_does(turned: bool, framework: str) -> None:
    module = torch.nn.Linear(4, 4)

    def port(p: Any, x: Any) -> Any:
        return affine({**p, "w": p["w"] if turned else p["w"].T}, x)

    result = crosscheck(**{"torch": module, framework: port, "inputs": X, "parameters": SQUARE})
    assert result.agreed, str(result)
    assert result.matches[0] == f"parameters['w'] is weight{' transposed' * turned}, by name, shape and results"
    assert any("under one only do the results agree" in note for note in result.notes) == (not turned)


def test_convolutions_and_matrices_are_turned_each_by_itself() -> None:
    module = torch.nn.Sequential(torch.nn.Conv1d(3, 3, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(3, 3))

    def port(p: Any, x: Any) -> Any:
        x = jax.lax.conv_general_dilated(x, p["conv"]["w"], (1,), "VALID") + p["conv"]["b"][:, None]
        return affine(p["fc"], jnp.tanh(x).reshape(1, 3))

    zeros = {name: {"w": np.zeros((3,) * n), "b": np.zeros(3)} for name, n in (("conv", 3), ("fc", 2))}
    result = crosscheck(torch=module, jax=port, inputs=X[:3, :3][None], parameters=zeros)
    assert result.agreed, str(result)
    assert [" transposed" in match or "axes" in match for match in result.matches] == [False, False, True, False]


@pytest.mark.usefixtures("unsearched")
@pytest.mark.slow
def test_a_guess_that_no_order_of_axes_bears_out_is_said_with_its_remedy() -> None:
    module = torch.nn.Linear(4, 4)
    given: dict[str, Any] = {"torch": module, "jax": lambda p, x: 2 * affine(p, x), "inputs": X, "parameters": SQUARE}
    result = crosscheck(**given)
    assert any("is a guess" in note and "mapping={'weight': (\"['w']\", (0, 1))}" in note for note in result.notes)
    assert result.matches[0] == "parameters['w'] is weight transposed, by name and shape, the order of its axes a guess"
    mapped = crosscheck(**given, mapping={"weight": ("['w']", (1, 0))})
    assert not any("guess" in note for note in mapped.notes)
    assert not mapped.agreed


@pytest.mark.usefixtures("unsearched")
@pytest.mark.parametrize(("name", "right"), [("weight", False), ("kernel", True)])
def test_a_name_that_tells_the_order_of_axes_is_not_doubted(name: str, right: bool) -> None:
    zeros = {name: np.zeros((4, 4)), "bias": np.zeros(4)}
    result = crosscheck(
        torch=torch.nn.Linear(4, 4), jax=lambda p, x: x @ p[name] + p["bias"], inputs=X, parameters=zeros
    )
    assert result.agreed == right
    assert not any("order of" in note for note in result.notes)


def test_a_weight_that_is_tied_to_a_parameter_is_not_one_that_the_module_keeps() -> None:
    module = torch.nn.Sequential(*(torch.nn.Linear(4, 4, bias=False) for _ in range(3)))
    module[1].weight = module[0].weight
    last = module[2].weight.detach().numpy().astype(float)
    port = lambda p, x: x @ p["first"].T @ p["first"].T @ last.T  # noqa: E731
    result = crosscheck(torch=module, jax=port, inputs=X, parameters={"first": np.zeros((4, 4))})
    assert result.agreed, str(result)
    assert [note for note in result.notes if "keeps" in note] == ["the module keeps its own 2.weight"]


def test_attention_with_kernels_by_head_is_matched_and_agrees() -> None:
    class Heads(torch.nn.Module):  # type: ignore[misc, name-defined, unused-ignore]
        def __init__(self) -> None:
            super().__init__()
            self.query, self.out = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)

        def forward(self, x: Any) -> Any:
            return self.out(torch.tanh(self.query(x)).flip(-1))

    def port(p: Any, x: Any) -> Any:
        heads = jnp.tanh(jnp.einsum("ni,ihd->nhd", x, p["query"]["kernel"]) + p["query"]["bias"])[:, ::-1, ::-1]
        return jnp.einsum("nhd,hdo->no", heads, p["out"]["kernel"]) + p["out"]["bias"]

    zeros = {
        "query": {"kernel": np.zeros((4, 2, 2)), "bias": np.zeros((2, 2))},
        "out": {"kernel": np.zeros((2, 2, 4)), "bias": np.zeros(4)},
    }
    result = crosscheck(torch=Heads(), jax=port, inputs=X, parameters=zeros)
    assert result.agreed, str(result)


def test_statistics_that_a_module_in_training_mode_changes_may_be_among_the_parameters() -> None:
    norm = torch.nn.BatchNorm1d(4)
    zeros = {"scale": np.ones(4), "bias": np.zeros(4), "mean": np.zeros(4), "var": np.ones(4)}

    def port(p: Any, x: Any) -> Any:
        return (x - x.mean(0)) / jnp.sqrt(x.var(0) + 1e-5) * p["scale"] + p["bias"]

    result = crosscheck(torch=norm, jax=port, inputs=X, parameters=zeros)
    assert result.agreed, str(result)
    assert any("eval() stops that" in note for note in result.notes)
