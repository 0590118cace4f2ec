"""A backend with its data on its device: loaded, called, and nothing it returns taken on trust."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from inspect import isabstract
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .backends import FRAMEWORKS, backend_class, everything, load, registry
from .backends import Spec as Spec
from .backends.engine import Engine
from .backends.interface import ARITHMETICS, DTYPES, Backend, LayerTrace
from .common.errors import DeviceError, MissingError, TrainingError, UsageError, foreign, said
from .common.nearest import check_known
from .common.problem import Problem
from .common.progress import Progress as Progress
from .common.values import several
from .common.words import a

Matrices = tuple[np.ndarray, ...]
LayerTraces = tuple[LayerTrace, ...]
T = TypeVar("T")


class Fault(UsageError):
    """A backend raised an error, or returned something else than the interface asks for."""

    status = 1

    def __init__(self, outcome: str, message: str, label: str = "") -> None:
        super().__init__(f"{label}: {message}" if label else message)
        self.outcome = outcome
        """`failed`, `missing`, `wrong-device` or `wrong-dtype`, see `common.agreement.OUTCOMES`."""
        self.message = message
        """The text without the label of the backend."""
        self.label = label

    def __reduce__(self) -> tuple[Any, ...]:
        return Fault, (self.outcome, self.message, self.label)  # so that it can come from another process


@dataclass(frozen=True, eq=False)
class Session:
    """One backend with data on its device, all in the backend's dtype.

    Weights go in and come out as the backend holds them; `numpy` turns them into checked NumPy arrays. Every
    method raises Fault where the backend raises, or returns what it must not.
    """

    backend: Backend
    first: Matrices
    """The first weights."""
    inputs: np.ndarray
    """(samples, inputs)"""
    targets: np.ndarray
    """(samples, outputs)"""
    lr: float
    label: str = ""
    """What messages call it."""

    @classmethod
    def of(cls, problem: Problem, backend: Backend, label: str = "") -> Session:
        dtype = backend.dtype
        inputs, targets = problem.inputs.astype(dtype), problem.targets.astype(dtype)
        return cls(backend, problem.first_weights(dtype), inputs, targets, problem.rate(dtype), label)

    @cached_property
    def x(self) -> Any:
        return self.hold(self.inputs)

    @cached_property
    def y(self) -> Any:
        return self.hold(self.targets)

    @cached_property
    def weights(self) -> Any:
        """The first weights on the device."""
        return self.hold_all(self.first)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(w.shape for w in self.first)

    def hold(self, array: np.ndarray) -> Any:
        return self.call("from_numpy", array.astype(self.backend.dtype, copy=False))

    def hold_all(self, arrays: Iterable[np.ndarray]) -> Any:
        return tuple(self.hold(array) for array in arrays)

    def call(self, method: str, *arguments: Any) -> Any:
        """What the backend's `method` returns, unchecked."""
        try:
            with foreign():
                return getattr(self.backend, method)(*arguments)
        except (KeyboardInterrupt, TrainingError):
            raise
        except BaseException as error:
            raise self.fault("failed", f"{method} raised {said(error)} - expected {self.expected(method)}") from error

    def predict(self, weights: Any, rows: np.ndarray | None = None) -> np.ndarray:
        """(rows, outputs), for the problem's inputs unless `rows` are given."""
        x = self.x if rows is None else self.hold(rows)
        shape = (len(self.inputs if rows is None else rows), self.shapes[-1][1])
        return self.array("predict", self.call("predict", weights, x), shape)

    def train(self, weights: Any, n: int = 1) -> Any:
        """The weights after `n` updates, computed and not only under way."""
        return self.synchronized(self.call("train", weights, self.x, self.y, self.lr, n))

    def synchronized(self, value: Any) -> Any:
        done = self.call("synchronize", value)
        if done is None and value is not None:
            raise self.unfit("synchronize", a(done))
        return done

    def trace(self, weights: Any) -> LayerTraces:
        return self.layers(self.call("trace", weights, self.x, self.y, self.lr))

    def layers(self, value: Any, method: str = "trace") -> LayerTraces:
        """What `method` returned, once it is one LayerTrace of NumPy arrays per layer."""
        if not isinstance(value, tuple) or len(value) != len(self.first):
            count = f" of {len(value)}" if isinstance(value, (tuple, list)) else ""
            raise self.unfit(method, f"{a(value)}{count}")
        return tuple(self._layer(layer, shape, method) for layer, shape in zip(value, self.shapes, strict=True))

    def _layer(self, layer: Any, shape: tuple[int, ...], method: str) -> LayerTrace:
        if not isinstance(layer, LayerTrace):
            raise self.unfit(method, f"{a(layer)} for a layer")
        between = (len(self.inputs), shape[1])
        fields = layer._asdict().items()
        return LayerTrace(*(self.checked(method, v, shape if k == "change" else between) for k, v in fields))

    def numpy(self, weights: Any, method: str = "train") -> Matrices:
        """What `method` returned, as NumPy, once it is a tuple of arrays like the weights, on the right device."""
        if not isinstance(weights, tuple):
            raise self.unfit(method, a(weights))
        if len(weights) != len(self.first):
            raise self.unfit(method, f"{len(weights)} array{'s' * (len(weights) != 1)}")
        return tuple(self.array(method, w, shape) for w, shape in zip(weights, self.shapes, strict=True))

    def array(self, method: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
        """What `method` returned, as NumPy, once it has this shape and the backend's device and dtype."""
        if value is None or (isinstance(value, (list, tuple, float, int)) and type(value) is not type(self.x)):
            raise self.unfit(method, a(value))
        device = self.call("device_of", value)
        if device != self.backend.device:
            raise self.fault("wrong-device", f"{method} left its result on {device!r}, not on {self.backend.device!r}")
        return self.checked(method, self.call("to_numpy", value), shape)

    def checked(self, method: str, array: Any, shape: tuple[int, ...]) -> np.ndarray:
        """`array`, which `method` returned, once it is a NumPy array of this shape and the backend's dtype."""
        if not isinstance(array, np.ndarray):
            raise self.unfit(method if method in ("trace", "replay") else "to_numpy", a(array))
        if array.dtype != self.backend.dtype:
            outcome = "wrong-dtype" if array.dtype.kind == "f" else "failed"
            raise self.unfit(method, f"an array of {array.dtype}", outcome)
        if array.shape != shape:
            raise self.unfit(method, f"an array of shape {array.shape}")
        return array

    def fault(self, outcome: str, message: str) -> Fault:
        return Fault(outcome, message, self.label)

    def unfit(self, method: str, got: str, outcome: str = "failed") -> Fault:
        return self.fault(outcome, f"{method} returned {got} - expected {self.expected(method)}")

    def expected(self, method: str) -> str:
        """What `method` should return, in words."""
        dtype, n = self.backend.dtype, len(self.first)
        shapes = ", ".join(map(str, self.shapes[:6])) + (", ..." if n > 6 else "")
        like_weights = f"a tuple of {n} array{'s' * (n != 1)} of shape {shapes}, {dtype}"
        return {
            "from_numpy": f"a copy in {dtype}",
            "to_numpy": "a NumPy array with the same bits",
            "synchronize": "what it was given, once that is computed",
            "predict": f"an array of shape (rows, {self.shapes[-1][1]}), {dtype}",
            "gradient": like_weights,
            "update": like_weights,
            "train": like_weights,
            "trace": f"a tuple of {n} LayerTrace of NumPy arrays, {dtype}",
            "replay": f"a tuple of {n} LayerTrace of NumPy arrays, {dtype}",
            "exp": f"an array of the shape that it was given, {dtype}",
        }.get(method, "no exception")


def loaded(spec: Spec, dtype: str = "float64", arithmetic: str = "native") -> Backend:
    """`equigrad.load`; what the backend itself raises while it is made becomes a Fault.

    Raises what `equigrad.load` raises, and Fault for a class that lacks methods or cannot be made.
    """
    with _loading(dtype, arithmetic, spec if isinstance(spec, str) else ""):
        _check_whole(backend_class(spec)[0])
        return load(spec, dtype, arithmetic)


def made(cls: type[Backend], device: str, dtype: str, arithmetic: str) -> Backend:
    """A new backend; methods that its class lacks, and what it raises while it is made, become a Fault."""
    with _loading(dtype, arithmetic):
        _check_whole(cls)
        return cls(device=device, dtype=dtype, arithmetic=arithmetic)


def like(backend: Backend, dtype: str, arithmetic: str) -> Backend:
    """A new backend of the same class on the same device; raises Fault as `made` does."""
    return made(type(backend), backend.device, dtype, arithmetic)


def having(cls: type[Backend]) -> tuple[list[str], list[str]]:
    """The dtypes and the arithmetics that a backend has."""
    return [dtype for dtype in DTYPES if dtype in cls.dtypes], [mode for mode in ARITHMETICS if mode in cls.arithmetics]


def _check_whole(cls: type[Backend]) -> None:
    if isabstract(cls):
        lacking = ", ".join(sorted(cls.__abstractmethods__))
        every = "both methods of equigrad.Engine" if issubclass(cls, Engine) else "every method of equigrad.Backend"
        raise Fault("failed", f"{cls.__name__} lacks {lacking} - expected {every}")
    for what, known in (("arithmetics", ARITHMETICS), ("dtypes", DTYPES)):
        if not (isinstance(has := getattr(cls, what), tuple) and has and {*has} <= {*known}):
            raise Fault(
                "failed", f"{cls.__name__}.{what} is {has!r} - expected a tuple of {' or '.join(known)} or both"
            )


@contextmanager
def _loading(dtype: str, arithmetic: str, label: str = "") -> Iterator[None]:
    try:
        with foreign():
            yield
    except (KeyboardInterrupt, UsageError, MissingError):
        raise
    except BaseException as error:
        wanted = f"a backend for {dtype} and {arithmetic} arithmetic"
        raise Fault("failed", f"loading raised {said(error)} - expected {wanted}", label) from error


class Loaded(NamedTuple):
    """A backend under the name that a user has for it, or the fault that stands in its place."""

    name: str
    """torch, torch:cuda, package.module:Class or the class's name, see `labels`."""
    device: str
    arithmetic: str
    backend: Backend | Fault


def load_all(
    backends: Spec | Sequence[Spec] | None, dtype: str, arithmetic: str, first: str | None = None
) -> list[Loaded]:
    """Every backend in every arithmetic asked for ('native', 'reproducible' or 'both'), `first` before the others.

    `backends` is everything that is here if None. What was asked for by name has to be usable; what was only
    found here fails alone. Under 'both', a backend that has one arithmetic only takes part in that one.

    Raises UsageError for an unknown arithmetic, dtype or backend.
    """
    check_known("arithmetic", arithmetic, (*ARITHMETICS, "both"))
    asked = specs(everything() if backends is None else backends)
    every = list(dict.fromkeys(asked if first is None else [first, *asked]))
    names = labels(every)
    found = []
    for mode in ("reproducible", "native") if arithmetic == "both" else (arithmetic,):
        having = [spec for spec in every if mode in arithmetics_of(spec, arithmetic)]
        if any(spec in having for spec in asked or every):
            found += [_entry(spec, names[spec], dtype, mode, backends is not None) for spec in having]
    return found


def specs(backends: Spec | Iterable[Spec]) -> list[Spec]:
    """The backends that somebody gave, by name or as classes, one or several: each once, in one spelling.

    Raises UsageError for anything else: an instance has one dtype and one arithmetic, see `sessions`.
    """
    return list(dict.fromkeys(map(_canonical, several(backends))))


def _canonical(spec: Spec) -> Spec:
    """numpy:cpu is numpy."""
    if not isinstance(spec, str):
        return backend_class(spec)[0]
    name = spec.removesuffix(":cpu")
    return name if name in FRAMEWORKS or name in registry().names else spec


def canonical_names(backends: Spec | Iterable[Spec]) -> list[str]:
    """The same, classes by names that `equigrad.load` takes; raises UsageError for a class inside something else."""
    found = specs(backends)
    for spec in found:
        if not isinstance(spec, str) and "." in spec.__qualname__:
            raise UsageError(
                f"{spec.__qualname__} is not at the top of a module, where its name would find it: move it"
            )
    return [path_of(spec) for spec in found]


def path_of(spec: Spec) -> str:
    """The name of the module and of what is in it."""
    return spec if isinstance(spec, str) else f"{spec.__module__}:{spec.__qualname__}"


def called(spec: Spec) -> str:
    """What tables call it."""
    return spec if isinstance(spec, str) else spec.__name__


def labels(given: Sequence[Spec]) -> dict[Spec, str]:
    """What tables call each: classes of one name by their modules' too, and by a number if that does not tell them."""
    short = [called(spec) for spec in given]
    names = {spec: path_of(spec) if short.count(name) > 1 else name for spec, name in zip(given, short, strict=True)}
    same = {name: [spec for spec in names if names[spec] == name] for name in names.values()}
    return {
        spec: f"{name} ({same[name].index(spec) + 1})" if len(same[name]) > 1 else name for spec, name in names.items()
    }


def arithmetics_of(spec: Spec, asked: str) -> Sequence[str]:
    """What it takes part in: the arithmetic asked for, or of 'both' those that it has."""
    if asked != "both":
        return (asked,)
    try:
        return [mode for mode in ARITHMETICS if mode in backend_class(spec)[0].arithmetics] or ARITHMETICS
    except Exception:  # why it cannot be loaded is for `loaded` to say
        return ARITHMETICS


def _entry(spec: Spec, name: str, dtype: str, arithmetic: str, asked: bool) -> Loaded:
    framework, _, rest = name.partition(":")
    device = rest if rest and framework in FRAMEWORKS else "cpu"
    backend: Backend | Fault
    try:
        backend = loaded(spec, dtype, arithmetic)
        device = backend.device
    except Fault as fault:
        backend = fault
    except MissingError as error:
        backend = Fault("missing", str(error))
    except UsageError as error:
        if asked or not isinstance(error, DeviceError):
            raise
        backend = Fault("failed", str(error))
    return Loaded(name, device, arithmetic, backend)


def sessions(
    problem: Problem,
    backends: Spec | Backend | Sequence[Spec | Backend],
    dtypes: str | Sequence[str],
    arithmetics: str | Sequence[str],
) -> tuple[Session, ...]:
    """The sessions that backends, dtypes and arithmetics name in order; one alone of a kind holds for all.

    A backend is given as for `specs`, or as an instance, which brings its own dtype and arithmetic. The labels tell
    the sessions apart and say no more than that takes.

    Raises UsageError where the numbers of backends, dtypes and arithmetics do not fit, and what `loaded` raises.
    """
    backends, dtypes, arithmetics = several(backends), several(dtypes), several(arithmetics)
    count = max(len(backends), len(dtypes), len(arithmetics))
    found = [
        (b, _name(b)) if isinstance(b, Backend) else (loaded(b, dtype, arithmetic), called(_canonical(b)))
        for b, dtype, arithmetic in zip(
            _spread("backend", backends, count),
            _spread("dtype", dtypes, count),
            _spread("arithmetic", arithmetics, count),
            strict=True,
        )
    ]
    for backend, _ in found:
        problem.check_fits(backend.dtype)
    names = [name for _, name in found]
    for attribute in ("arithmetic", "dtype"):
        values = [getattr(b, attribute) for b, _ in found]
        if len(set(values)) > 1:
            names = [f"{name} {value}" for name, value in zip(names, values, strict=True)]
    if len(set(names)) < count:
        names = [f"{name} ({i})" for i, name in enumerate(names, 1)]
    return tuple(Session.of(problem, b, name) for (b, _), name in zip(found, names, strict=True))


def _spread(what: str, values: Sequence[T], count: int) -> list[T]:
    if len(values) not in (1, count):
        raise UsageError(f"give {what} once for all or {count} times, once for each, not {len(values)} times")
    return list(values) * (count // len(values))


def _name(backend: Backend) -> str:
    return backend.name + (f":{backend.device}" if backend.device != "cpu" else "")
