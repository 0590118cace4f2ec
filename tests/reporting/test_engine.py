"""The network in JavaScript, in QuickJS, which shares no code with a browser's engine: the same bits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import equigrad
from equigrad.backends.numpy_arithmetic import Space
from equigrad.common import reproducible
from equigrad.common.problem import Problem
from equigrad.common.problem import problem as built_in
from equigrad.reporting import page
from length import at_length, published

pytestmark = pytest.mark.needs("quickjs")
ENGINE = Path(page.__file__).parent / "engine"
OLD = "Array.prototype.at ??= function (i) { return this[i < 0 ? this.length + i : i]; };"
"""QuickJS is of 2021 and lacks this one method."""


@pytest.fixture(scope="module")
def javascript() -> Callable[[str, Any], Any]:
    """`javascript(function, argument)` calls a function of the engine's own world with one argument, as JSON."""
    import quickjs

    context = quickjs.Context()
    context.eval("\n".join([OLD, *((ENGINE / f"{name}.js").read_text() for name in page.ENGINE)]))

    def call(function: str, argument: Any = None) -> Any:
        return json.loads(context.eval(f"JSON.stringify(({function})({json.dumps(argument)}))"))

    return call


def task(problem: Problem, dtype: str) -> dict[str, Any]:
    """A problem as the page's scripts take it."""
    return {
        "layers": problem.layers,
        "inputs": problem.inputs.tolist(),
        "targets": problem.targets.tolist(),
        "updates": problem.updates,
        "learningRate": problem.learning_rate,
        "seed": problem.seed,
        "dtype": dtype,
    }


HASH = "(t) => weightsHash(new Training(t).train(firstWeights(t), t.updates))"


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("one-layer", "float64"),
        ("one-layer", "float32"),
        pytest.param("two-layer", "float64", marks=pytest.mark.slow),
    ],
)
def test_the_published_hash_is_reached_by(javascript: Any, name: str, dtype: str) -> None:
    """test_lab_browser has all four whole: a browser compiles what this engine interprets."""
    updates, hashes = published(name)
    assert javascript(HASH, task(built_in(name).with_(updates=updates), dtype)) == hashes[dtype]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_hash_is_numpys_after_an_update_of_the_digits_in(javascript: Any, dtype: str) -> None:
    digits, rows = built_in("digits"), at_length(1_797, short=300)
    problem = replace(digits, inputs=digits.inputs[:rows], targets=digits.targets[:rows], updates=1)
    (run,) = equigrad.compare(problem, ["numpy"], dtype=dtype, arithmetic="reproducible").runs
    assert javascript(HASH, task(problem, dtype)) == run.weights_sha256


@pytest.mark.parametrize("seed", [0, 1, 7, 2**31, 2**32 - 1, *range(100, 115)])
def test_first_weights_are_numpys_for_the_seed(javascript: Any, seed: int) -> None:
    """700 numbers: beyond the 624 words after which the generator turns over."""
    drawn = javascript(
        "(s) => { const g = new MT19937(s); return Array.from({length: 700}, () => g.randomSample()); }", seed
    )
    assert drawn == np.random.RandomState(seed).random_sample(700).tolist()


@pytest.mark.parametrize("length", [0, 1, 55, 56, 63, 64, 119, 120, 1_000])
def test_sha256_is_the_standard_one_for_a_message_of(javascript: Any, length: int) -> None:
    message = bytes((7 * i + length) % 256 for i in range(length))
    assert javascript("(m) => sha256(Uint8Array.from(m))", list(message)) == hashlib.sha256(message).hexdigest()


FINITE = {"float64": st.floats(-750, 750, allow_subnormal=False), "float32": st.floats(-90, 90, width=32)}
EDGES = [0.0, -0.0, 0.5, -0.5, 40.0, 40.1, -80.0, -80.1, -700.0, -700.1, 1e300, -1e300, 0.34657359, 5.0, 1e-300]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_sigmoid_has_numpys_bits_at_the_edges_in(javascript: Any, dtype: str) -> None:
    with np.errstate(over="ignore", under="ignore"):
        check_sigmoid(javascript, np.array([z for z in EDGES if np.isfinite(np.dtype(dtype).type(z))], dtype), dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_sigmoid_has_numpys_bits_everywhere_in(javascript: Any, dtype: str, data: st.DataObject) -> None:
    check_sigmoid(javascript, np.array(data.draw(st.lists(FINITE[dtype], min_size=1, max_size=40)), dtype), dtype)


def check_sigmoid(javascript: Any, z: np.ndarray, dtype: str) -> None:
    function = "([zs, dtype]) => { const ops = new Reproducible(dtype); return zs.map((z) => ops.sigmoidOf(z)); }"
    assert javascript(function, [z.tolist(), dtype]) == reproducible.sigmoid(Space, z).tolist()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_the_matrix_product_has_numpys_bits_of_any_shape_in(javascript: Any, dtype: str, data: st.DataObject) -> None:
    """Either way: in index order up to 16 terms, through slices beyond."""
    n, m = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    k = data.draw(st.sampled_from([1, 2, 3, 15, 16, 17, 40]))
    numbers = st.floats(-1e6, 1e6, width=32, allow_subnormal=False).map(lambda v: v if abs(v) > 1e-6 else 0.0)
    a, b = (data.draw(arrays.arrays(dtype, shape, elements=numbers)) for shape in ((n, k), (k, m)))
    function = "([a, b, dtype]) => [...new Reproducible(dtype).dot(matrixOf(a, dtype), matrixOf(b, dtype)).data]"
    expected = (reproducible.dot(Space, a, b) + 0.0).ravel().tolist()  # JSON has one zero
    assert javascript(function, [a.tolist(), b.tolist(), dtype]) == expected


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_update_holds_what_numpys_holds_inside_in(javascript: Any, dtype: str) -> None:
    problem = built_in("two-layer")
    lines = equigrad.trace(problem, ["numpy"], updates=1, dtype=dtype, arithmetic="reproducible").lines
    function = "(t) => new Training(t).trace(firstWeights(t)).map((layer) => layer.map((m) => [...m.data]))"
    found = javascript(function, task(problem, dtype))
    names = ("before", "preactivation", "activation", "error", "delta", "change", "weight")  # a trace has it after
    for line in lines:
        if line.update == 1 and line.quantity in names:
            assert found[line.layer - 1][names.index(line.quantity)] == line.values[0].ravel().tolist(), line.quantity


def test_the_loss_is_half_the_sum_of_squares(javascript: Any) -> None:
    problem = built_in("two-layer")
    found = javascript(
        "(t) => { const r = new Training(t); return r.network.loss(firstWeights(t), r.x, r.y); }",
        task(problem, "float64"),
    )
    backend = equigrad.load("numpy", "float64", "reproducible")
    outputs = backend.predict(problem.first_weights(), problem.inputs)
    assert found == pytest.approx(((problem.targets - outputs) ** 2).sum() / 2, rel=1e-15)


@pytest.mark.parametrize("file", sorted(ENGINE.glob("*.js")), ids=lambda file: file.name)
def test_nothing_is_used_whose_bits_a_browser_may_choose_in(file: Path) -> None:
    """Only Math.fround, square root and what is exact on integers; SHA-256's constants need 35 bits of a root."""
    code = "\n".join(line.partition("//")[0] for line in file.read_text().splitlines())
    for name in ("exp", "log", "pow", "tanh", "sin", "cos", "random", "hypot"):
        assert f"Math.{name}(" not in code
    assert "**" not in code.replace("2 ** ", "") or file.name == "sha256.js"
