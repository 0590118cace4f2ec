"""Many updates go through a tape: the same operations into arrays that stay. The bits are those of single updates."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from equigrad.backends.interface import ARITHMETICS, DTYPES, Backend, Weights
from equigrad.backends.tape.numpy_tape import LEAST as NUMPYS
from equigrad.backends.tape.tape import Tape, Untapeable, Value, unrolled, worthwhile
from equigrad.bench.sizes import sized
from equigrad.common.problem import Problem, problem
from length import at_length

Ready = Callable[..., Backend]
TAPED = ("numpy", "torch")


def repeat(spec: str) -> Callable[..., Weights]:
    """How that backend repeats an update through a tape."""
    if spec == "numpy":
        from equigrad.backends.tape.numpy_tape import repeat as numpys

        return numpys
    from equigrad.backends.tape.torch_tape import repeat as torchs

    return torchs


def train(spec: str, update: Callable[..., Weights]) -> Callable[..., Weights]:
    """That backend's `train` with another update, written under the same decorator."""
    module = import_module(f"equigrad.backends.tape.{spec}_tape")

    class Trained:
        def __init__(self) -> None:
            self.update = update

        @module.taped
        def train(self, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
            for _ in range(n):
                weights = self.update(weights, x, y, lr)
            return weights

    trained: Callable[..., Weights] = Trained().train
    return trained


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tape pays from the first update on."""
    monkeypatch.setattr("equigrad.backends.tape.tape.worthwhile", lambda *_: True)


def given_to(backend: Backend, task: Problem) -> tuple[Weights, Any, Any, float]:
    x, y, *weights = (backend.from_numpy(v) for v in (task.inputs, task.targets, *task.first_weights(backend.dtype)))
    return tuple(weights), x, y, task.rate(backend.dtype)


def one_by_one(backend: Backend, weights: Weights, x: Any, y: Any, lr: float, n: int) -> Weights:
    for _ in range(n):
        weights = backend.update(weights, x, y, lr)
    return weights


def bits(backend: Backend, weights: Weights) -> list[bytes]:
    return [backend.to_numpy(w).tobytes() for w in weights]


PROBLEMS = {
    "one-layer": (problem("one-layer"), at_length(300, short=100)),
    "two-layer": (problem("two-layer").with_(learning_rate=0.3), at_length(300, short=100)),
    "five odd layers": (sized(7, (3, 5, 1, 9, 2)), at_length(120, short=40)),
    "layers that are worked on in blocks": (sized(1500, (33, 40, 3)), 6),
    "digits": (problem("digits"), 5),
}


@pytest.mark.slow(but=["float64-native"])
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("spec", TAPED)
def test_a_tape_gives_the_bits_of_single_updates(
    ready: Ready, spec: str, name: str, dtype: str, arithmetic: str
) -> None:
    backend = ready(spec, dtype, arithmetic)
    task, n = PROBLEMS[name]
    weights, x, y, lr = given_to(backend, task)
    before = bits(backend, (*weights, x, y))
    taped = repeat(spec)(backend.update, weights, x, y, lr, n)
    assert bits(backend, taped) == bits(backend, one_by_one(backend, weights, x, y, lr, n))
    assert bits(backend, (*weights, x, y)) == before, "an argument was changed"


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    layers = draw(st.lists(st.integers(1, 20), min_size=2, max_size=5))
    return sized(draw(st.integers(1, 300)), layers).with_(learning_rate=draw(st.sampled_from([1.0, 0.1, 2.0**-6])))


@pytest.mark.parametrize("spec", TAPED)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(task=problems(), dtype=st.sampled_from(DTYPES), arithmetic=st.sampled_from(ARITHMETICS))
def test_any_network_can_be_taped(ready: Ready, spec: str, task: Problem, dtype: str, arithmetic: str) -> None:
    backend = ready(spec, dtype, arithmetic)
    weights, x, y, lr = given_to(backend, task)
    calls = 0

    def update(*arguments: Any) -> Weights:
        nonlocal calls
        calls += 1
        return backend.update(*arguments)

    taped = repeat(spec)(update, weights, x, y, lr, 4)
    assert calls == (2 if spec == "numpy" and arithmetic == "native" else 1), "it was not taped, but called again"
    assert bits(backend, taped) == bits(backend, one_by_one(backend, weights, x, y, lr, 4))


def depends_on_numbers(backend: Backend, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
    return backend.update(weights, x, y, lr if (weights[0] > 0).all() else lr / 2)


def swaps_the_layers(backend: Backend, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
    return backend.update(weights, x, y, lr)[::-1]


def gives_an_old_weight(backend: Backend, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
    return (backend.update(weights, x, y, lr)[1], weights[0])


def gives_a_view(backend: Backend, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
    return tuple(w.T for w in backend.update(weights, x, y, lr))


def converts_a_number(backend: Backend, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
    return backend.update(weights, x, y, lr / max(1.0, float(weights[0].max())))


def unknown_function(backend: Backend, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
    return tuple(w.cumsum(0) for w in backend.update(weights, x, y, lr))


CHANGES = [
    depends_on_numbers,
    converts_a_number,
    unknown_function,
    swaps_the_layers,
    gives_an_old_weight,
    gives_a_view,
]
SQUARE = Problem("square", np.eye(3), np.eye(3)[::-1].copy(), (3, 3, 3), 5, learning_rate=0.5)


@pytest.mark.parametrize("update", CHANGES, ids=lambda f: f.__name__.replace("_", " "))
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("spec", TAPED)
def test_what_a_tape_cannot_hold_is_repeated_one_by_one(ready: Ready, spec: str, update: Any) -> None:
    backend = ready(spec, "float64", "native")
    weights, x, y, lr = given_to(backend, SQUARE)
    change = partial(update, backend)
    expected = weights
    for _ in range(5):
        expected = change(expected, x, y, lr)
    assert bits(backend, train(spec, change)(weights, x, y, lr, 5)) == bits(backend, expected)


@pytest.mark.parametrize(("spec", "least"), [("numpy", 100), ("torch", 5)])
def test_train_makes_a_tape_where_it_pays(ready: Ready, spec: str, least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = ready(spec, "float64", "native")
    weights, x, y, lr = given_to(backend, problem("one-layer"))
    runs: list[int] = []
    monkeypatch.setattr(Tape, "run", staticmethod(lambda calls, n: runs.append(n)))
    backend.train(weights, x, y, lr, least - 1)
    assert not runs
    backend.train(weights, x, y, lr, least)
    assert len(runs) == 1


@pytest.mark.parametrize(
    ("n", "width", "pays"),
    [(99, 4, False), (100, 4, True), (99, 9_999, False), (4, 10_000, False), (5, 10_000, True), (1, 1_000_000, True)],
)
def test_whether_a_tape_pays_depends_on_updates_and_size(n: int, width: int, pays: bool) -> None:
    assert worthwhile(NUMPYS, n, 1, (np.zeros((1, width)),)) is pays


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many calls each tape that runs makes for an update."""
    made: list[int] = []
    monkeypatch.setattr(Tape, "run", staticmethod(lambda calls, n: made.append(len(calls))))
    return made


@pytest.mark.parametrize(
    ("spec", "arithmetic", "counts"),
    [
        ("torch", "native", [7, 14]),
        ("torch", "reproducible", [37, 75]),
        ("numpy", "native", [11, 22]),
        ("numpy", "reproducible", [36, 73]),
    ],
)
def test_an_update_repeats_no_call_that_its_bits_do_not_need(
    ready: Ready, spec: str, arithmetic: str, counts: list[int], calls: list[int]
) -> None:
    """Neither PyTorch's loss, nor the 2 of its square and the half before it, nor a sign that is changed twice."""
    backend = ready(spec, "float64", arithmetic)
    for name in ("one-layer", "two-layer"):
        backend.train(*given_to(backend, problem(name)), 100)
    assert calls == counts


@pytest.mark.parametrize("spec", TAPED)
def test_a_learning_rate_of_one_is_multiplied_by_like_any_other(ready: Ready, spec: str, calls: list[int]) -> None:
    backend = ready(spec)
    for rate in (1.0, 0.3):
        backend.train(*given_to(backend, problem("one-layer").with_(learning_rate=rate)), 100)
    assert len(set(calls)) == 1
    assert len(calls) == 2


def uses_the_loss(backend: Backend, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
    """The loss is alive: PyTorch's sum is then an operation that no tape repeats."""
    return backend.update(weights, x, y, 0.1 * backend.loss(weights, x, y))  # type: ignore[attr-defined]


def scales_by_numbers_that_do_not_cancel(backend: Backend, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
    return tuple((w * 10.0) * 0.1 - -((w * 5.0) * 0.2 - (w * 0.5) * 4.0 / 3.0) for w in weights)


def scales_by_numbers_that_cancel(backend: Backend, weights: Weights, x: Any, y: Any, lr: float) -> Weights:
    return tuple(((w * 0.25) * 4.0) ** 1.0 * -1.0 - -(w - g) for w, g in zip(weights, weights, strict=True))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    "update",
    [uses_the_loss, scales_by_numbers_that_do_not_cancel, scales_by_numbers_that_cancel],
    ids=lambda f: f.__name__.replace("_", " "),
)
def test_pytorchs_tape_shortens_nothing_but_what_keeps_every_bit(ready: Ready, update: Any, dtype: str) -> None:
    backend = ready("torch", dtype)
    weights, x, y, lr = given_to(backend, sized(4, (20, 30, 2)))
    change = partial(update, backend)
    expected = weights
    for _ in range(3):
        expected = change(expected, x, y, lr)
    assert bits(backend, train("torch", change)(weights, x, y, lr, 3)) == bits(backend, expected)


def comes_to_zero_from_one(weights: Weights, x: np.ndarray, y: np.ndarray, lr: float) -> Weights:
    return tuple(w - np.exp(0.0 * -w) for w in weights)


def stays_zero(weights: Weights, x: np.ndarray, y: np.ndarray, lr: float) -> Weights:
    return tuple(w + 0.0 * np.exp(-w) for w in weights)


@pytest.mark.parametrize("first", [0.0, -0.0, 1.0, 0.5], ids=str)
@pytest.mark.parametrize("update", [comes_to_zero_from_one, stays_zero], ids=lambda f: f.__name__.replace("_", " "))
def test_numpy_holds_a_weights_negative_only_where_no_zero_shows_its_sign(update: Any, first: float) -> None:
    """Of 1 - 1 the negatives' tape makes -0.0 where the update makes 0.0."""
    given = (np.full((2, 2), first),), np.ones((3, 2)), np.ones((3, 2)), 1.0
    for n in (1, 2, 3):
        expected = given[0]
        for _ in range(n):
            expected = update(expected, *given[1:])
        (taped,) = repeat("numpy")(update, *given, n)
        assert taped.tobytes() == expected[0].tobytes()


@pytest.mark.parametrize("spec", TAPED)
def test_inputs_and_weights_that_hold_zeros_give_the_bits_of_single_updates(
    ready: Ready, spec: str, dtype: str
) -> None:
    backend = ready(spec, dtype)
    task = sized(6, (5, 4, 1))
    weights, x, y, lr = given_to(backend, task.with_(learning_rate=0.25))
    x = x * backend.from_numpy(np.random.RandomState(1).randint(-1, 2, (6, 5)))
    for zeroed in (weights, tuple(abs(w) * (w > 0.3) for w in weights)):
        taped = repeat(spec)(backend.update, zeroed, x, y, lr, 50)
        assert bits(backend, taped) == bits(backend, one_by_one(backend, zeroed, x, y, lr, 50))


def test_the_calls_written_out_one_after_the_other_are_the_same_calls() -> None:
    made: list[Any] = []

    def note(*arguments: int, **named: int) -> None:
        made.append((arguments, named))

    unrolled([partial(note, 1, 2), partial(note, 3, out=4), note])(2)
    assert made == 2 * [((1, 2), {}), ((3,), {"out": 4}), ((), {})]
    unrolled([])(3)


def test_pytorch_tapes_no_weight_of_minus_zero(ready: Ready) -> None:
    """Of it the tape's 0.0 and the update's -0.0 are not the same to subtract."""
    backend = ready("torch")
    weights, x, y, lr = given_to(backend, problem("one-layer"))
    with pytest.raises(Untapeable, match=r"-0\.0"):
        repeat("torch")(backend.update, tuple(w * -0.0 for w in weights), x, y, lr, 3)


def listed(tape: Tape, inputs: list[list[float]]) -> tuple[list[Callable[[], Any]], int]:
    """The tape bound to lists of numbers, and how many lists were made for it."""
    made = 0

    def empty(like: Any) -> list[float]:
        nonlocal made
        made += 1
        return [0.0] * like

    def ready(call: Any, arguments: Any, into: list[float]) -> Callable[[], Any]:
        def go() -> None:
            into[:] = call(*arguments)

        return go

    return tape.bind(inputs, empty, ready, list), made


def added(a: list[float], b: list[float]) -> list[float]:
    return [v + w for v, w in zip(a, b, strict=True)]


def test_memory_is_lent_on_only_when_nothing_needs_it_any_more() -> None:
    tape = Tape(inputs=2)
    w, x = Value(0), Value(1)
    a = tape.note(added, [w, x], 2)
    b = tape.note(added, [a, x], 2)  # a is needed again below: b may not take its memory
    c = tape.note(added, [a, b], 2)  # a and b are not: c takes a's
    d = tape.note(added, [c, x], 2)  # takes c's
    tape.results = (tape.note(added, [d, w], 2),)  # the last to need w: takes the weight's own
    inputs = [[1.0, 2.0], [10.0, 20.0]]
    calls, made = listed(tape, inputs)
    assert (len(calls), made) == (5, 2)
    Tape.run(calls, 1)
    assert inputs == [[43.0, 86.0], [10.0, 20.0]]


def test_a_view_keeps_the_memory_that_it_looks_at() -> None:
    class Whole:
        """The same list under another number."""

        def __call__(self, a: list[float]) -> list[float]:
            return a

    tape = Tape(inputs=2)
    w, x = Value(0), Value(1)
    a = tape.note(added, [w, x], 1)
    view = tape.note(Whole(), [a], None)
    b = tape.note(added, [a, x], 1)  # a itself is not needed any more, its view is
    tape.results = (tape.note(added, [b, view], 1),)
    inputs = [[1.0], [10.0]]
    calls, _ = listed(tape, inputs)
    Tape.run(calls, 1)
    assert inputs[0] == [(1 + 10 + 10) + (1 + 10)]


def test_a_new_weight_keeps_its_memory_though_another_is_made_of_it() -> None:
    tape = Tape(inputs=3)
    first = tape.note(added, [Value(0), Value(2)], 1)
    tape.results = (first, tape.note(added, [first, Value(2)], 1))
    inputs = [[1.0], [2.0], [10.0]]
    calls, _ = listed(tape, inputs)
    Tape.run(calls, 1)
    assert inputs == [[11.0], [21.0], [10.0]]


@pytest.mark.parametrize("spec", TAPED)
def test_nothing_is_written_into_an_array_of_which_a_transpose_is_still_read(ready: Ready, spec: str) -> None:
    def update(weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        doubled = weights[0] * 2.0
        return (doubled + doubled.T,)

    backend = ready(spec)
    w, x = backend.from_numpy(np.arange(9.0).reshape(3, 3)), backend.from_numpy(np.ones((1, 3)))
    assert bits(backend, repeat(spec)(update, (w,), x, x, 1.0, 3)) == bits(
        backend, update(update(update((w,), x, x, 1.0), x, x, 1.0), x, x, 1.0)
    )


def test_a_matrix_product_never_writes_into_its_own_factor() -> None:
    tape = Tape(inputs=2)
    a = tape.note(added, [Value(0), Value(1)], 1)
    b = tape.note(added, [a, Value(1)], 1, elementwise=False)
    tape.results = (b,)
    calls, made = listed(tape, [[1.0], [10.0]])
    assert (len(calls), made) == (3, 2), "the sum, the product, and the copy into the weight"


@pytest.mark.parametrize("spec", TAPED)
def test_a_tape_holds_no_more_large_arrays_than_the_update_itself(
    ready: Ready, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[int, ...]] = []
    bind = Tape.bind

    def counting(self: Tape, inputs: Any, empty: Any, ready: Any, copy: Any) -> Any:
        def counted(like: Any) -> Any:
            made.append(tuple(like[0]))
            return empty(like)

        return bind(self, inputs, counted, ready, copy)

    monkeypatch.setattr(Tape, "bind", counting)
    backend = ready(spec, "float64", "native")
    backend.train(*given_to(backend, sized(500, (30, 40, 2))), 10)
    assert made.count((500, 40)) <= 3, "activation, delta, and one for what is between"


def test_torch_does_not_keep_what_autograd_let_go(ready: Ready) -> None:
    ready("torch")
    import torch

    from equigrad.backends.tape.torch_tape import Noting

    kept: list[Any] = []
    x = torch.ones(3)
    noting = Noting(Tape(1), [x])
    with noting:
        between = x * 2
        kept.append(weakref.ref(between))
        del between
    gc.collect()
    assert kept[0]() is None


def test_an_array_from_elsewhere_is_refused_by_numpy(ready: Ready) -> None:
    from equigrad.backends.tape.numpy_tape import Noted

    noted = Noted(Tape(1), Value(0), (2, 2), "float64")
    with pytest.raises(Untapeable):
        np.asarray(noted)
    with pytest.raises(Untapeable):
        np.sum(noted)
    with pytest.raises(Untapeable):
        bool(noted > 0)


@pytest.mark.slow
def test_unrolled_updates_of_jax_give_the_same_bits(ready: Ready, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a GPU would run them: in no whole turn, in one, and in several with some left over."""
    ready("jax")
    from equigrad.backends import jax_arrays
    from equigrad.backends.jax_backend import JaxBackend

    backend = ready("jax", "float64", "reproducible")
    given = given_to(backend, problem("two-layer"))
    expected = {n: bits(backend, one_by_one(backend, *given, n)) for n in (49, 50, 123)}
    monkeypatch.setitem(jax_arrays.UNROLLED, "cpu", 50)
    assert jax_arrays.updates_in_a_turn("cpu", given[1]) == 50
    JaxBackend.train.jitted.clear_cache()  # type: ignore[attr-defined]
    assert {n: bits(backend, backend.train(*given, n)) for n in expected} == expected
    JaxBackend.train.jitted.clear_cache()  # type: ignore[attr-defined]


class Graph:
    """Stands for a CUDA graph where there is no CUDA: it notes what is captured, and replays it."""

    def __init__(self) -> None:
        self.captured: list[Callable[[], Any]] = []

    def replay(self) -> None:
        for call in self.captured:
            call()


@pytest.mark.parametrize("refused", [False, True], ids=["captured", "refused"])
@pytest.mark.parametrize("n", [0, 1, 100, 101, 102, 250, 301])
def test_as_many_updates_are_made_by_a_cuda_graph_as_without_one(
    ready: Ready, n: int, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready("torch")
    import torch

    from equigrad.backends.tape import torch_tape

    made = 0
    capturing: list[Graph] = []

    def call() -> None:
        nonlocal made
        if capturing:
            if refused:
                raise RuntimeError("operation not permitted when stream is capturing\nand more")
            capturing[-1].captured.append(count)
        else:
            made += 1

    def count() -> None:
        nonlocal made
        made += 1

    @contextmanager
    def capture(graph: Graph) -> Iterator[None]:
        capturing.append(graph)
        try:
            yield
        finally:
            capturing.pop()

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    says = pytest.warns(UserWarning, match="capturing$") if refused and n > torch_tape.GRAPH else nullcontext()
    with says:
        torch_tape.run_on_cuda([call], n)
    assert made == n


@pytest.mark.parametrize("spec", TAPED)
def test_the_same_array_may_be_given_several_times(ready: Ready, spec: str, dtype: str, arithmetic: str) -> None:
    backend = ready(spec, dtype, arithmetic)
    w = backend.from_numpy(np.random.RandomState(0).random_sample((6, 6)))
    given = ((w, w), w, w, 0.3)
    assert bits(backend, backend.train(*given, 120)) == bits(backend, one_by_one(backend, *given, 120))


@pytest.mark.parametrize("order", ["Fortran", "strided"])
def test_numpy_arrays_in_another_order_give_the_bits_of_single_updates(ready: Ready, order: str) -> None:
    backend = ready("numpy")
    weights, x, y, lr = given_to(backend, sized(60, (64, 32, 10)).with_(learning_rate=0.1))
    if order == "Fortran":
        weights = tuple(map(np.asfortranarray, weights))
    else:
        weights = tuple(np.repeat(w, 2, axis=1)[:, ::2] for w in weights)
    trained, expected = (f(weights, x, y, lr, 100) for f in (backend.train, partial(one_by_one, backend)))
    assert bits(backend, trained) == bits(backend, expected)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("spec", TAPED)
def test_another_dtype_of_the_new_weights_is_not_hidden(ready: Ready, spec: str) -> None:
    backend = ready(spec, "float32")

    def update(weights: Weights, x: Any, y: Any, lr: float) -> Weights:
        new = backend.update(weights, x, y, lr)
        return tuple(w.astype(np.float64) if spec == "numpy" else w.double() for w in new)

    (w,) = train(spec, update)(*given_to(backend, problem("one-layer")), 1)
    assert str(w.dtype).endswith("float64")


@pytest.mark.parametrize("spec", TAPED)
def test_a_subclass_is_repeated_one_by_one(ready: Ready, spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its update may do what no tape holds, and no tape notices: draw numbers, count, look at a value."""
    subclass = type("Mine", (type(ready(spec)),), {})()
    runs: list[int] = []
    monkeypatch.setattr(Tape, "run", staticmethod(lambda calls, n: runs.append(n)))
    subclass.train(*given_to(subclass, problem("one-layer")), 200)
    assert not runs


@pytest.mark.parametrize("spec", TAPED)
def test_a_tape_leaves_no_array_behind(ready: Ready, spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    bind = Tape.bind

    def watching(self: Tape, inputs: Any, empty: Any, ready: Any, copy: Any) -> Any:
        def watched(like: Any) -> Any:
            array = empty(like)
            made.append(weakref.ref(array))
            return array

        return bind(self, inputs, watched, ready, copy)

    monkeypatch.setattr(Tape, "bind", watching)
    backend = ready(spec)
    given = given_to(backend, problem("two-layer"))
    gc.disable()
    try:
        backend.train(*given, 100)
    finally:
        gc.enable()
    assert made
    assert [array() for array in made if array() is not None] == []
