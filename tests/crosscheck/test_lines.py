"""The lines that are named are those of the mistake, and what is said about them is true."""

from __future__ import annotations

import importlib
import sysconfig
import warnings
from typing import Any

import numpy as np
import pytest

from equigrad.console import show
from equigrad.crosscheck import recording
from equigrad.crosscheck.crosschecks import crosscheck
from equigrad.crosscheck.recording import Line, Recorded, Recording
from equigrad.crosscheck.result import Parting
from equigrad.crosscheck.view import crosscheck as view
from length import at_length

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy
X = np.random.default_rng(0).standard_normal((2, 3))
S = np.random.default_rng(1).standard_normal((3, 3))


def parted(theirs: Any, port: Any, inputs: Any = X) -> Parting:
    found = crosscheck(torch=theirs, jax=port, inputs=inputs).parting
    assert found is not None
    return found


def then(first: Any, xp: Any) -> Any:
    """What is done with it afterwards, on other lines."""

    def ending(x: Any) -> Any:
        h = xp.tanh(first(x))
        return (h * xp.arange(h.size if xp is jnp else h.numel()).reshape(h.shape)).sum()

    return ending


def add_to_a_part(x: Any) -> Any:
    h = x * 2
    h[0] += torch.sin(x[1])
    return h


def add_to_a_view(x: Any) -> Any:
    h = (x * 2).clone()
    view = h[:1].view(3)
    view.add_(torch.sin(x[1]))
    return h


def interleaved(x: Any) -> Any:
    h = torch.zeros(2, 6, dtype=x.dtype)
    h[:, 0::2], h[:, 1::2] = torch.sin(x), torch.cos(x)
    return h


ORDERS: dict[str, tuple[Any, Any, Any]] = {
    "a concatenation": (lambda x: torch.cat([x, x * 2]), lambda x: jnp.concatenate([x * 2, x]), X),
    "a sort": (lambda x: torch.sort(x, descending=True)[0], lambda x: jnp.sort(x), X),
    "turned and transposed": (lambda x: x.T.contiguous(), lambda x: x[::-1].T, S),
    "interleaved": (interleaved, lambda x: jnp.concatenate([jnp.sin(x), jnp.cos(x)], -1), X),
    "repeated in turn": (lambda x: x.repeat_interleave(2), lambda x: jnp.tile(x.ravel(), 2), X),
    "a roll": (lambda x: torch.roll(x, 1, 1), lambda x: jnp.roll(x, -1, 1), X),
    "flipped along an axis": (lambda x: torch.flip(x, (1,)), lambda x: jnp.flip(x, 0), X),
    "flattened after a transpose": (lambda x: x.flatten(), lambda x: x.T.reshape(-1), X),
}


@pytest.mark.slow(but=["a concatenation"])
@pytest.mark.parametrize("name", at_length(list(ORDERS), short=list(ORDERS)[:4]))
def test_numbers_in_another_order_are_followed_back_to_where_they_are_moved(name: str) -> None:
    theirs, port, inputs = ORDERS[name]
    found = parted(then(theirs, torch), then(port, jnp), inputs)
    assert found.kind == "order"
    assert not any("ending" in site.function for site in (found.torch, found.jax)), str(found)
    assert found.onward is not None
    assert found.onward.operation == "mul"


@pytest.mark.slow
def test_a_move_that_one_side_lacks_is_named_beside_what_goes_on_without_it() -> None:
    found = parted(then(lambda x: x.flip(0), torch), then(lambda x: x, jnp))
    assert (found.torch.operation, found.jax.operation) == ("aten.flip", "tanh")
    found = parted(then(lambda x: x, torch), then(lambda x: x[::-1], jnp))
    assert (found.torch.operation, found.jax.operation) == ("aten.tanh", "rev")


@pytest.mark.parametrize(("theirs", "line"), [(add_to_a_part, 2), (add_to_a_view, 3)], ids=["a part", "a view"])
def test_what_writes_to_a_tensor_in_place_is_named(theirs: Any, line: int) -> None:
    found = parted(then(theirs, torch), then(lambda x: (x * 2).at[0].add(jnp.exp(x[1])), jnp))
    assert found.kind == "differs"
    assert (found.torch.function, found.torch.line) == (theirs.__name__, theirs.__code__.co_firstlineno + line)


@pytest.mark.slow
def test_a_conjugate_is_no_other_order_and_nothing_is_warned_of() -> None:
    def theirs(x: Any) -> Any:
        z = torch.fft.fft(x)
        u = z * torch.exp(1j * z) * 2
        return (u.real * u.imag).sum()

    def port(x: Any) -> Any:
        z = jnp.fft.fft(x)
        u = jnp.conj(z * jnp.exp(1j * z)) * 2
        return (u.real * u.imag).sum()

    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        found = parted(theirs, port)
    assert found.kind == "missing in torch"
    assert (found.jax.operation, found.jax.line) == ("conj", port.__code__.co_firstlineno + 2)


def test_a_scan_that_runs_the_other_way_is_named_and_not_its_body() -> None:
    def theirs(x: Any) -> Any:
        sums = [x[-1] * 0]
        for row in reversed(x):
            sums.insert(0, row + 0.9 * sums[0])
        return torch.tanh(torch.stack(sums[:-1]))

    def body(total: Any, row: Any) -> Any:
        total = row + 0.9 * total
        return total, total

    def port(x: Any) -> Any:
        return jnp.tanh(jax.lax.scan(body, x[0] * 0, x)[1])

    found = parted(theirs, port)
    assert (found.kind, found.jax.line) == ("reversed", port.__code__.co_firstlineno + 1)
    assert found.explanation.startswith("the loop runs the other way on one side, and with that corrected")


@pytest.mark.parametrize("file", ["<string>", "<stdin>", "<ipython-input-3-ab12>"])
def test_a_line_without_a_file_is_named_as_python_names_it(file: str) -> None:
    made: dict[str, Any] = {"torch": torch, "jnp": jnp}
    exec(compile("def f(x):\n  return torch.tanh(x)\ndef g(x):\n  return jnp.sinh(x)", file, "exec"), made)
    found = parted(made["f"], made["g"])
    assert (found.torch.place, found.jax.place) == (f"{file}:2", f"{file}:4")


@pytest.mark.slow
def test_a_random_key_inside_is_no_hindrance() -> None:
    def port(x: Any) -> Any:
        h = x * 3
        drawn = at_length(jax.random.normal, short=lambda key, _: jax.random.key_data(key)[0])  # compiled for long
        return (h + 0 * drawn(jax.random.key(0), x.shape)).sum()

    assert parted(lambda x: (x * 2).sum(), port).jax.line == port.__code__.co_firstlineno + 1


def test_square_brackets_in_a_files_name_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    made: dict[str, Any] = {"jnp": jnp}
    exec(compile("def g(x):\n  h = x[::-1]\n  return (h * jnp.arange(2)[:, None]).sum()", "o[v2].py", "exec"), made)
    result = crosscheck(torch=lambda x: (x * torch.arange(2)[:, None]).sum(), jax=made["g"], inputs=X)
    show(view(result), width=300)
    title = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("where they part"))
    assert "o[v2].py:3" in title


INSTALLED = """
import jax.numpy as jnp


def norm(x):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(variance + 1e-3)


def model(x):
    return 2 * jnp.tanh(norm(x))
"""


@pytest.mark.slow
def test_of_a_model_in_an_installed_package_its_own_line_is_named(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "installed_norm.py").write_text(INSTALLED)
    paths = sysconfig.get_path
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path) if name == "platlib" else paths(name))
    recording._kind.cache_clear()  # as it was asked of files under other paths
    model = importlib.import_module("installed_norm").model

    def theirs(x: Any) -> Any:
        return 2 * torch.tanh(torch.nn.functional.layer_norm(x, (3,)))

    def port(x: Any) -> Any:
        return model(x)

    found = parted(theirs, port).jax
    assert (found.file, found.line) == (str(tmp_path / "installed_norm.py"), 8)
    assert found.called_from[-1] == (__file__, port.__code__.co_firstlineno + 1)
    of_the_user = parted(theirs, lambda x: 2 * jnp.tanh((x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)))
    assert of_the_user.jax.file == __file__


def test_exchanged_parts_are_named_where_they_are_made_and_not_in_a_helper_that_moves_them() -> None:
    def heads(x: Any) -> Any:
        return x.reshape(2, 2, 3)

    def theirs(x: Any) -> Any:
        q, k, v = x[:, :6], x[:, 6:12], x[:, 12:]
        q, k, v = heads(q), heads(k), heads(v)
        return (torch.sin(q) * torch.cos(k) + v).sum()

    def port(x: Any) -> Any:
        k, q, v = jnp.split(x, 3, axis=-1)
        q, k, v = heads(q), heads(k), heads(v)
        return (jnp.sin(q) * jnp.cos(k) + v).sum()

    found = parted(theirs, port, np.random.default_rng(2).standard_normal((2, 18)))
    assert (found.kind, found.jax.line) == ("exchanged", port.__code__.co_firstlineno + 1)


@pytest.mark.slow
def test_a_gradient_that_is_rounding_alone_is_not_where_they_part() -> None:
    """Of a softmax that does not change if a number is added to all, beside an embedding's missing gradient."""

    def theirs(p: Any) -> Any:
        h = torch.nn.functional.embedding(torch.tensor([0, 1]), p["w"], padding_idx=0)
        return (torch.softmax(h + p["b"].sum(), -1) * torch.arange(3.0, dtype=h.dtype)).sum()

    def port(p: Any) -> Any:
        h = p["w"].astype("float32")[jnp.array([0, 1])]
        return (jax.nn.softmax(h + p["b"].astype("float32").sum(), -1) * jnp.arange(3.0, dtype="float32")).sum()

    found = parted(theirs, port, {"w": S, "b": X})
    assert (found.torch.operation, found.jax.operation) == ("aten.embedding_dense_backward", "scatter-add")


@pytest.mark.slow
def test_of_a_mistake_in_every_layer_both_lines_are_named_though_another_step_has_no_counterpart() -> None:
    layers = np.random.default_rng(3).standard_normal((2, 3, 3))
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]], dtype=torch.float64)

    def theirs(x: Any) -> Any:
        bias = (1 - mask) * -1e9
        for w in torch.tensor(layers):
            h = torch.softmax(x @ w + bias, -1)
            x = torch.nn.functional.gelu(x + h)
        return x.sum()

    def port(x: Any) -> Any:
        bias = jnp.where(jnp.asarray(mask.numpy()) > 0, 0.0, -1e30)
        for w in layers:
            h = jax.nn.softmax(x @ w + bias)
            x = jax.nn.gelu(x + h)
        return x.sum()

    found = parted(theirs, port)
    lines = [
        side.line - function.__code__.co_firstlineno for side, function in ((found.torch, theirs), (found.jax, port))
    ]
    assert lines == [4, 4]


def test_of_each_installed_package_the_innermost_line_is_shown() -> None:
    def line(file: str, number: int) -> Line:
        return Line(file, number, "f", "packages" in file)

    norm, wrapper = line("/v/site-packages/flax/linen/norm.py", 1), line("/v/site-packages/flax/linen/module.py", 2)
    layer, model = (line("/v/dist-packages/models/bert.py", n) for n in (3, 4))
    mine = line("/home/me/check.py", 5)
    made = Recording()
    for first in (norm, wrapper):
        made.add(Recorded("add", (), (), (first, wrapper, layer, wrapper, model, mine)))
    made.settle_lines()
    assert [o.lines for o in made.operations] == [(norm, layer, mine), (wrapper, layer, mine)]
