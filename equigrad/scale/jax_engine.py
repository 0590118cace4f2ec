"""JAX over processes and devices: jax.distributed and shard_map, https://docs.jax.dev/en/latest/multi_process.html."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ..backends.interface import Weights
from ..backends.jax_arithmetic import Native, Reproducible, Space
from ..backends.jax_arrays import compiled
from ..backends.jax_backend import JaxBackend
from .summation import Shards

AXIS = "samples"
SPLIT, WHOLE = PartitionSpec(AXIS), PartitionSpec()


def join(rank: int, size: int, meeting: str, device: str) -> None:
    """Meet the others at host:port; each process brings all devices that it sees, or one GPU of those here."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    host = meeting.rpartition(":")[0]
    local = int(os.environ.get("LOCAL_RANK", rank))
    jax.distributed.initialize(
        meeting,
        size,
        rank,
        local_device_ids=[local] if device == "cuda" else None,
        coordinator_bind_address=meeting if host == "127.0.0.1" else None,
    )
    jax.devices()  # here all wait for each other, and not in the first update


def leave() -> None:
    jax.distributed.shutdown()


class JaxShards(Shards):
    """Inside shard_map, where each device has its rows, equally many: where a sample is lacking, a row fills up."""

    def maximum(self, x: jax.Array) -> jax.Array:
        return jax.lax.pmax(x, AXIS)

    def total(self, x: jax.Array) -> jax.Array:
        return jax.lax.psum(x, AXIS)

    def gathered(self, x: jax.Array) -> jax.Array:
        shards = jax.lax.all_gather(x, AXIS)
        return jnp.concatenate([shards[i, :n] for i, n in enumerate(self.counts)])

    def own(self, xp: Any, x: jax.Array) -> jax.Array:
        """What fills up is no zero any more, once it has been through a sigmoid, and would count in the maximum."""
        return x if len({*self.counts}) == 1 else jnp.where(np.arange(len(x))[:, None] < xp.count, x, 0)


@partial(jax.tree_util.register_dataclass, data_fields=["one", "count"], meta_fields=[])
@dataclass(frozen=True)
class ShardSpace(Space):
    """JAX's names on one device of several. It comes as an argument, as `one` does."""

    count: Any = None
    """How many samples this device has, (1,)."""


class Operations:
    """The backend's own, but for the products: their way is the whole problem's, and one adds over processes."""

    def __init__(self, ops: Any, space: ShardSpace, shards: JaxShards, arithmetic: str) -> None:
        self.product, self.sigmoid = ops.product, ops.sigmoid
        native = arithmetic == "native"

        def plain(space: ShardSpace, a: jax.Array, b: jax.Array) -> jax.Array:
            return ops.dot(a, b) if native else shards.dot(space, a, b)

        def over_samples(space: ShardSpace, a: jax.Array, b: jax.Array) -> jax.Array:
            return shards.total(ops.dot(shards.own(space, a.T).T, b)) if native else shards.gradient_dot(space, a, b)

        def backward(saved: Any, g: jax.Array) -> tuple[None, jax.Array, jax.Array]:
            space, a, b = saved
            return None, plain(space, g, b.T), over_samples(space, a.T, g)

        dot = jax.custom_vjp(plain)
        dot.defvjp(lambda *inputs: (plain(*inputs), inputs), backward)
        self.dot = partial(dot, space)


@dataclass(frozen=True)
class RankBackend(JaxBackend):
    """The backend on one of several processes, or on several devices of one."""

    samples: int = 0

    @cached_property
    def mesh(self) -> Mesh:
        return Mesh(np.array(jax.devices(self.device)), (AXIS,))

    @cached_property
    def shards(self) -> JaxShards:
        return JaxShards(self.samples, self.mesh.size)

    @cached_property
    def ops(self) -> Any:
        ops = Native() if self.arithmetic == "native" else Reproducible(self.one.one)
        return Operations(ops, self.one, self.shards, self.arithmetic)

    def from_numpy(self, array: np.ndarray) -> jax.Array:
        return self._placed(np.array(array, self.dtype), WHOLE)

    def rows(self, array: np.ndarray) -> jax.Array:
        """This process's rows of the data, each device's filled up to as many as the largest has."""
        most = max(self.shards.counts)
        parts = np.split(array.astype(self.dtype), np.cumsum(self._mine)[:-1])
        filled = [np.pad(part, ((0, most - len(part)), (0, 0))) for part in parts]
        return self._placed(np.concatenate(filled), SPLIT)

    @property
    def _mine(self) -> list[int]:
        """How many samples each device of this process has."""
        pairs = zip(self.shards.counts, self.mesh.devices, strict=True)
        return [count for count, device in pairs if device.process_index == jax.process_index()]

    def _placed(self, array: np.ndarray, where: PartitionSpec) -> jax.Array:
        with jax.enable_x64(True):
            return jax.make_array_from_process_local_data(NamedSharding(self.mesh, where), array)

    def to_numpy(self, array: jax.Array) -> np.ndarray:
        return np.array(array.addressable_data(0))

    @cached_property
    def share(self) -> jax.Array:
        """How many samples each device has, on that device; in the dtype that the backend takes, exact below 2**24."""
        return self._placed(np.array(self._mine, self.dtype), SPLIT)

    def train(self, weights: Weights, x: jax.Array, y: jax.Array, lr: float, n: int) -> Weights:
        return self.mapped(self.share, weights, x, y, lr, n)

    @compiled
    def mapped(self, *given: Any) -> Weights:
        def train(one: Any, count: jax.Array, *given: Any) -> Weights:
            return super(RankBackend, replace(self, one=ShardSpace(one, count))).train(*given)

        specs = (WHOLE, SPLIT, WHOLE, SPLIT, SPLIT, WHOLE, WHOLE)
        return jax.shard_map(train, mesh=self.mesh, in_specs=specs, out_specs=WHOLE, check_vma=False)(self.one, *given)
