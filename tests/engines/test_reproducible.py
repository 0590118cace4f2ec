"""A foreign engine gets the reproducible arithmetic by giving its namespace, and with it the published bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from equigrad.backends.numpy_arithmetic import Space
from equigrad.common import reproducible
from equigrad.common.problem import problem
from equigrad.common.ulp import sha256

tinygrad = pytest.importorskip("tinygrad")
TWENTY_UPDATES = {
    "float64": "5fa76c8bc488a8a94ca3c4938a26b25bff343064b7e90dea889b554d1c36f234",
    "float32": "c262c14c2d053f8f2d066c8b5f3b326bb752a7ed599812fe320864b2aaf3e9d7",
}
"""Of digits, as in docs/scale.md."""


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_hips_autograd_reaches_the_same_hash(dtype: str) -> None:
    """Its namespace is NumPy's; the two operations get their derivative rules, and autograd composes them."""
    autograd = pytest.importorskip("autograd")
    from autograd import numpy as anp
    from autograd.extend import defvjp, primitive

    dot = primitive(lambda a, b: reproducible.dot(Space, a, b))
    defvjp(
        dot,
        lambda _, a, b: lambda g: reproducible.dot(Space, g, b.T),
        lambda _, a, b: lambda g: reproducible.dot(Space, a.T, g),
    )
    sigmoid = primitive(lambda x: reproducible.sigmoid(Space, x))
    defvjp(sigmoid, lambda s, x: lambda g: g * (s * (1 - s)))
    task = problem("digits")
    x, y = task.inputs.astype(dtype), task.targets.astype(dtype)

    def loss(weights: Any) -> Any:
        a = x
        for w in weights:
            a = sigmoid(dot(a, w))
        return anp.sum((y - a) ** 2) / 2

    weights = task.first_weights(dtype)
    for _ in range(20):
        weights = tuple(
            w - np.multiply(task.rate(dtype), g) for w, g in zip(weights, autograd.grad(loss)(weights), strict=True)
        )
    assert {str(w.dtype) for w in weights} == {dtype}
    assert sha256(weights) == TWENTY_UPDATES[dtype]


class TinygradSpace:
    """tinygrad under the names that `common.reproducible` uses, as far as a matrix product needs them."""

    int64, float64 = tinygrad.dtypes.int64, tinygrad.dtypes.float64
    product = staticmethod(lambda a, b: a * b)
    rint = staticmethod(lambda x: x.round())
    matmul = staticmethod(lambda a, b: a.realize() @ b.realize())
    concatenate = staticmethod(lambda parts, axis: parts[0].cat(*parts[1:], dim=axis))
    cast = staticmethod(lambda x, dtype: x.cast(dtype))
    reach = staticmethod(lambda x, axis: x.abs().max(axis, keepdim=True))
    block = staticmethod(lambda x: 2**40)


@pytest.fixture
def tensor(monkeypatch: pytest.MonkeyPatch) -> Any:
    """tinygrad's Tensor with two of NumPy's names: bits seen as another dtype, and the size of an element."""
    Tensor = tinygrad.Tensor
    monkeypatch.setattr(tinygrad.helpers.DEV, "value", "PYTHON")
    reshape = Tensor.view
    monkeypatch.setattr(
        Tensor,
        "view",
        lambda t, *to: t.bitcast(to[0]) if isinstance(to[0], tinygrad.dtypes.int64.__class__) else reshape(t, *to),
    )
    monkeypatch.setattr(Tensor, "itemsize", property(lambda t: t.dtype.itemsize), raising=False)
    return Tensor


@pytest.mark.parametrize(
    ("terms", "dtype"),
    [(5, "float64"), *(pytest.param(23, dtype, marks=pytest.mark.slow) for dtype in ("float64", "float32"))],
    ids=["in index order, float64", "in slices, float64", "in slices, float32"],
)
def test_tinygrads_matrix_product_has_numpys_bits(tensor: Any, terms: int, dtype: str) -> None:
    """float32 in index order has not: its Python device rounds to float32 at the end of a kernel only."""
    rng = np.random.default_rng(3)
    a = (rng.standard_normal((2, terms)) * 2.0 ** rng.integers(-9, 9, (2, terms))).astype(dtype)
    b = rng.standard_normal((terms, 2)).astype(dtype)
    product = reproducible.dot(TinygradSpace, tensor(a), tensor(b)).numpy()
    assert product.tobytes() == reproducible.dot(Space, a, b).tobytes()


def test_tinygrad_cannot_have_the_reproducible_sigmoid_since_its_quotients_are_rounded_twice(tensor: Any) -> None:
    """x / y is x times the reciprocal of y there, and IEEE 754's quotient is what the sigmoid is made of."""
    a, b = np.random.default_rng(0).standard_normal((2, 500))
    assert ((tensor(a) / tensor(b)).numpy() != a / b).any()
    assert ((tensor(a) * tensor(b).reciprocal()).numpy() == a * (1 / b)).all()
