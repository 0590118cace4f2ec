"""Every backend, device, dtype and arithmetic as one parametrised fixture."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from importlib.util import find_spec

import pytest

from equigrad.backends import FRAMEWORKS, load
from equigrad.backends.interface import ARITHMETICS, DTYPES, Backend
from equigrad.common.errors import DeviceError, MissingError

SPECS = ("numpy", "torch", "torch:cuda", "jax", "jax:cuda")
REQUIRED = [name for name in os.environ.get("EQUIGRAD_REQUIRE", "").split(",") if name]
"""What must be here: a backend named in this variable fails where it is missing, others are skipped."""


def _ready(spec: str, dtype: str = "float64", arithmetic: str = "native") -> Backend:
    """The backend, or a skip that says why, or a failure if it is required."""
    try:
        return load(spec, dtype, arithmetic)
    except (MissingError, DeviceError) as error:
        if spec in REQUIRED:
            pytest.fail(f"{spec} is required by EQUIGRAD_REQUIRE, but: {error}")
        pytest.skip(str(error))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`needs("flint")` skips where that module is not installed, as on a machine without a package registry."""
    for mark in item.iter_markers("needs"):
        for module in mark.args:
            if find_spec(module) is None:
                pytest.skip(f"{module} is not installed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """A test that meets the referee skips where python-flint is not installed; where it is, nothing changes."""
    try:
        yield
    except MissingError as error:
        if "python-flint" not in str(error) or find_spec("flint") is not None:
            raise
        pytest.skip(str(error))


def pytest_configure() -> None:
    unknown = set(REQUIRED) - set(SPECS)
    if unknown:
        raise pytest.UsageError(f"EQUIGRAD_REQUIRE names {', '.join(sorted(unknown))}; known are {', '.join(SPECS)}")


@pytest.fixture
def ready() -> Callable[..., Backend]:
    """`ready(spec, dtype, arithmetic)` is the backend, or skips, or fails."""
    return _ready


@pytest.fixture(params=SPECS, ids=lambda spec: spec.replace(":", "-"))
def spec(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=DTYPES)
def dtype(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=ARITHMETICS)
def arithmetic(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def backend(spec: str, dtype: str, arithmetic: str) -> Backend:
    return _ready(spec, dtype, arithmetic)


assert tuple(spec for spec in SPECS if ":" not in spec) == FRAMEWORKS
