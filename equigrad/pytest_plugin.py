"""Pytest's options for `equigrad.conformance`; loaded wherever equigrad is installed, so it imports nothing."""

from typing import Any


def pytest_addoption(parser: Any) -> None:
    group = parser.getgroup("equigrad")
    group.addoption("--equigrad-backend", metavar="SPEC", help="the backend to check: package.module:Class or a name")
    group.addoption(
        "--equigrad-seconds",
        metavar="N",
        type=float,
        default=10.0,
        help="for how long to look for a network that breaks a law (10), as `equigrad check` does; 0: not at all",
    )
    group.addoption(
        "--equigrad-expected-failures",
        metavar="FILE",
        help="lines of 'PATTERN: reason' for tests that must fail; one that passes is reported",
    )
