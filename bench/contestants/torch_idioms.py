"""Ways to write the update in PyTorch. The derivative is autograd's in all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ...common.agreement import Disagreement
from ..workload import Arrays, Loop, Unsuitable, Workload

Weights = tuple[torch.Tensor, ...]


def tensors(workload: Workload, device: str) -> tuple[torch.Tensor, torch.Tensor, Weights]:
    weights = tuple(torch.tensor(w, device=device) for w in workload.weights)
    return torch.tensor(workload.x, device=device), torch.tensor(workload.y, device=device), weights


def arrays(weights: Weights, device: str) -> Arrays:
    """As NumPy; the copy to the CPU waits for the device."""
    for w in weights:
        if w.device.type != device:
            raise Disagreement("wrong-device", f"computed on {w.device.type} instead of {device}")
    return tuple(w.detach().cpu().numpy() for w in weights)


def matmul(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return a @ w


def multiply_and_sum(a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """a @ w in one kernel with its neighbours, which beats a call of BLAS at a dozen numbers."""
    return (a.unsqueeze(2) * w).sum(1)


def predict(weights: Weights, x: torch.Tensor, dot: Callable[..., torch.Tensor] = matmul) -> torch.Tensor:
    a = x
    for w in weights:
        a = torch.sigmoid(dot(a, w))
    return a


def loop(step: Callable[[Weights], Weights], weights: Weights, device: str) -> Loop:
    def run(n: int) -> Arrays:
        current = weights
        for _ in range(n):
            current = step(current)
        return arrays(current, device)

    return run


def autograd_loss(workload: Workload, device: str) -> Loop:
    """loss.backward() and a subtraction under no_grad: the loop of the tutorials without nn or optim."""
    x, y, first = tensors(workload, device)

    def run(n: int) -> Arrays:
        weights = tuple(w.clone().requires_grad_() for w in first)
        for _ in range(n):
            loss = ((y - predict(weights, x)) ** 2).sum() / 2
            loss.backward()
            with torch.no_grad():
                for w in weights:
                    w -= workload.rate * w.grad
                    w.grad = None
        return arrays(weights, device)

    return run


def autograd_seed(workload: Workload, device: str) -> Loop:
    """autograd.grad of the prediction, seeded with dL/da = a - y: the loss itself is never built."""
    x, y, first = tensors(workload, device)

    def step(weights: Weights) -> Weights:
        leaves = tuple(w.detach().requires_grad_() for w in weights)
        a = predict(leaves, x)
        gradient = torch.autograd.grad(a, leaves, a.detach() - y)
        return tuple(w.detach() - workload.rate * g for w, g in zip(leaves, gradient, strict=True))

    return loop(step, first, device)


def traced_step(workload: Workload, x: torch.Tensor, y: torch.Tensor, first: Weights) -> Callable[..., Any]:
    """The step with autograd already unrolled into plain operations, which a compiler can take in whole."""
    from torch.func import vjp
    from torch.fx.experimental.proxy_tensor import make_fx

    def step(weights: Weights, x: torch.Tensor, y: torch.Tensor) -> Weights:
        a, backward = vjp(lambda w: predict(w, x, multiply_and_sum), weights)
        (gradient,) = backward(a - y)
        return tuple(w - workload.rate * g for w, g in zip(weights, gradient, strict=True))

    return make_fx(step)(first, x, y)


def compiled_step(workload: Workload, device: str) -> Loop:
    """torch.compile of one update, called from a Python loop."""
    x, y, first = tensors(workload, device)
    step = torch.compile(traced_step(workload, x, y, first), fullgraph=True)
    with torch.no_grad():
        step(first, x, y)

    def run(n: int) -> Arrays:
        weights = first
        with torch.no_grad():
            for _ in range(n):
                weights = step(weights, x, y)
        return arrays(weights, device)

    return run


def compiled_loop(workload: Workload, device: str) -> Loop:
    """torch.compile of a while_loop around the update: Python is left once for all of them."""
    from torch._higher_order_ops.while_loop import while_loop

    x, y, first = tensors(workload, device)
    step = traced_step(workload, x, y, first)

    def train(n: torch.Tensor, weights: Weights) -> Any:
        def more(i: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
            return i < n

        def body(i: torch.Tensor, *weights: torch.Tensor) -> Any:
            return (i + 1, *step(weights, x, y))

        return while_loop(more, body, (torch.zeros((), dtype=torch.int64), *weights))

    compiled = torch.compile(train, fullgraph=True)

    def run(n: int) -> Arrays:
        with torch.no_grad():
            _, *weights = compiled(torch.tensor(n), first)
        return arrays(tuple(weights), device)

    return run


def cuda_graph(workload: Workload, device: str, updates_per_graph: int) -> Loop:
    """Some updates captured once as a CUDA graph and replayed; those that are left over, by a graph of one."""
    if device != "cuda":
        raise Unsuitable("CUDA graphs need a CUDA device")
    x, y, first = tensors(workload, device)
    weights = [w.clone() for w in first]

    def update() -> None:
        leaves = tuple(w.detach().requires_grad_() for w in weights)
        a = predict(leaves, x)
        for w, g in zip(weights, torch.autograd.grad(a, leaves, a.detach() - y), strict=True):
            w.sub_(workload.rate * g)

    def captured(updates: int) -> Any:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(updates):
                update()
        return graph

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # warm-up, as the documentation of torch.cuda.graph asks
        update()
    torch.cuda.current_stream().wait_stream(side)
    several, one = captured(updates_per_graph), captured(1)

    def run(n: int) -> Arrays:
        for w, f in zip(weights, first, strict=True):
            w.copy_(f)
        for graph, times in (several, n // updates_per_graph), (one, n % updates_per_graph):
            for _ in range(times):
                graph.replay()
        return arrays(tuple(weights), device)

    return run


def delayed(workload: Workload, seconds: float, waits: bool) -> Loop:
    """No update, but work that is known to take at least `seconds` in CUDA's queue: a test of the clock."""
    if not torch.cuda.is_available():
        raise Unsuitable("needs a CUDA device")
    first = torch.tensor(workload.weights[0], device="cuda")
    cycles = int(seconds * 3e9)  # no GPU's clock is faster

    def run(n: int) -> Arrays:
        torch.cuda._sleep(cycles)
        result = first + 0
        return (result.cpu().numpy(), *workload.weights[1:]) if waits else workload.weights

    return run
