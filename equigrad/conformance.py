"""The laws as tests for anybody's backend: no fork, no copy.

    pytest --pyargs equigrad.conformance --equigrad-backend mypackage.module:MyBackend

or, inside one's own test suite,

    from equigrad.conformance import Conformance

    class TestMyBackend(Conformance):
        backend = "mypackage.module:MyBackend"  # or the class itself

There is one test for each law, dtype, arithmetic of the backend, and network; see `laws` and `networks`. Then every
law is tried on many networks, as `equigrad check` does it, for ten seconds or --equigrad-seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

from .backends import backend_class
from .backends.interface import Backend
from .common.errors import EquigradError, MissingError, UsageError, needed
from .common.values import positive
from .laws import networks
from .laws.laws import LAWS, LawBroken, Network, unasked
from .laws.search import search
from .session import Spec, having, made, path_of

with needed("pytest", extra="check,bench", why="the conformance kit runs under pytest"):
    import pytest

SECONDS = 10.0


class Conformance:
    """Subclass it under a name that begins with Test, and say which backend."""

    backend: ClassVar[Spec | None] = None
    """package.module:Class, a registered name, or the class; None takes --equigrad-backend."""
    expected_failures: ClassVar[str | Path | None] = None
    """A file of expected failures, see `read_expected`; None takes --equigrad-expected-failures."""
    seconds: ClassVar[float | None] = None
    """For how long to try networks as `equigrad check` does; None takes --equigrad-seconds, 0 is not at all."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        __tracebackhide__ = True
        option = metafunc.config.getoption
        spec = self.backend or option("--equigrad-backend", None)
        cls, device = _found(spec)
        expected = read_expected(self.expected_failures or option("--equigrad-expected-failures", None))
        unused = set(expected)

        def named(name: str, *values: Any) -> Any:
            marks = [
                pytest.mark.xfail(reason=reason, strict=True, raises=LawBroken)
                for pattern, reason in expected.items()
                if fnmatchcase(name, pattern)
            ]
            unused.difference_update([pattern for pattern in unused if fnmatchcase(name, pattern)])
            return pytest.param(*values, id=name, marks=marks[:1])

        variants = list(product(*having(cls)))
        seconds = self.seconds if self.seconds is not None else option("--equigrad-seconds", SECONDS)
        try:
            positive("the seconds", seconds or SECONDS)
        except UsageError as error:
            raise pytest.UsageError(f"--equigrad-seconds: {error}") from None
        each = [
            named(f"any_law-{dtype}-{arithmetic}-many-networks", _Ready(spec, cls, device, dtype, arithmetic), share)
            for dtype, arithmetic in variants
            if (share := seconds / len(variants)) > 0
        ]
        parameters = [
            named(
                f"{law}-{dtype}-{arithmetic}-{network.name.replace(' ', '-')}",
                law,
                _Ready(spec, cls, device, dtype, arithmetic),
                network,
            )
            for law, (dtype, arithmetic) in product(LAWS, variants)
            for network in _networks(dtype)
        ]
        if unused:
            raise pytest.UsageError(f"expected failures that name no test: {', '.join(sorted(unused))}")
        if "sought" in metafunc.fixturenames:
            metafunc.parametrize(("sought", "seconds"), each)
        elif "law" in metafunc.fixturenames:
            metafunc.parametrize(("law", "ready", "network"), parameters)

    def test_law(self, law: str, ready: _Ready, network: Network) -> None:
        __tracebackhide__ = True
        backend = ready.backend(law)
        if why := unasked(law, backend):
            pytest.skip(why)
        try:
            LAWS[law](backend, network)
        except LawBroken as error:
            raise error.with_traceback(None) from error.__cause__  # the backend's own traceback, none of ours

    def test_many_networks(self, sought: _Ready, seconds: float) -> None:
        __tracebackhide__ = True
        sought.backend("any_law")
        cls, device, dtype, arithmetic = sought.made_from
        try:
            found = search(partial(made, cls, device), (arithmetic,), (dtype,), seconds=seconds).finding
        except MissingError as error:
            pytest.fail(str(error), pytrace=False)
        if found:
            lines = "\n".join(found.lines(sought.spec))
            raise LawBroken(found.law, found.outcome, f"{found.message}\n{lines}", found.margin)


class TestBackend(Conformance):
    """The backend of --equigrad-backend."""


class _Ready:
    """A backend that is made when its first test runs, so that one that cannot be made fails a test."""

    def __init__(self, spec: Spec, *made_from: Any) -> None:
        self.spec = path_of(spec)
        self.made_from = made_from

    def backend(self, law: str) -> Backend:
        __tracebackhide__ = True
        try:
            return _made(*self.made_from)
        except EquigradError as error:
            raise LawBroken(law, "failed", str(error)) from error


_made = cache(made)


@cache
def _networks(dtype: str) -> tuple[Network, ...]:
    return networks.chosen(dtype)


def _found(spec: Spec | None) -> tuple[type[Backend], str]:
    __tracebackhide__ = True
    if spec is None:
        raise pytest.UsageError("say which backend: --equigrad-backend package.module:Class")
    try:
        return backend_class(spec)
    except EquigradError as error:
        raise pytest.UsageError(str(error)) from None


def read_expected(path: str | Path | None) -> dict[str, str]:
    """The expected failures in a file: reason by pattern.

    A line is `PATTERN: reason`; the pattern, with * and ? as in a shell, is matched against the name in the
    test's brackets, such as calls_repeat-float32-native-one-layer. Lines that begin with # are comments.
    Raises pytest.UsageError for a file that cannot be read and a line without a reason.
    """
    return dict(_lines(Path(path))) if path else {}


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise pytest.UsageError(f"cannot read expected failures '{path}': {error.strerror}") from None
    for number, line in enumerate(text.splitlines(), 1):
        pattern, _, reason = (part.strip() for part in line.partition(":"))
        if not pattern or pattern.startswith("#"):
            continue
        if not reason:
            raise pytest.UsageError(f"{path}:{number}: an expected failure needs a reason: 'PATTERN: reason'")
        yield pattern, reason
