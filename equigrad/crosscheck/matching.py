"""Which tensor of a module each leaf of the parameters is: by its value, or by names, shapes and order."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import accumulate, permutations, product
from math import prod
from operator import mul
from typing import Any, NamedTuple

import numpy as np

from ..common.errors import UsageError
from ..common.nearest import nearest
from .nesting import Leaves

Axes = tuple[int, ...]


@dataclass(frozen=True)
class Match:
    """One leaf of the parameters and the module's tensor that it is."""

    leaf: str
    """parameters['dense']['kernel']."""
    name: str
    """fc.weight, of the module's state_dict."""
    axes: Axes
    """The leaf is the tensor with its axes in this order."""
    why: str
    """`values`, `mapping`, `name and shape`, or `name, shape and results`."""
    rivals: tuple[Axes, ...] = ()
    """Where neither shape nor name decides: every order that its axes may well have, `axes` first."""

    @property
    def transposed(self) -> bool:
        return self.axes != tuple(range(len(self.axes)))

    def __str__(self) -> str:
        order = f" with axes {list(self.axes)}" if len(self.axes) > 2 else " transposed"
        guess = ", the order of its axes a guess" if self.rivals else ""
        return f"{self.leaf} is {self.name}{order if self.transposed else ''}, by {self.why}{guess}"


def matched(state: Mapping[str, np.ndarray], learned: Leaves, mapping: Mapping[str, Any]) -> tuple[Match, ...]:
    """Which tensor of the module each leaf is: as `mapping` says, else by its values, else by name and shape.

    `mapping` has the leaf, or (leaf, axes), under the tensor's name. Raises UsageError for what it names and
    nobody has, and for a leaf that no tensor fits.
    """
    found, pairs = _mapped(state, learned, mapping)
    mapped = {*pairs}

    def alike(leaf: str, name: str) -> float | None:
        return _likeness(leaf, name) if _same(state[name], learned[leaf]) is not None else None

    _pair([path for path, v in learned.items() if v.size > 1 and v.min() < v.max()], [*state], alike, pairs)
    for leaf in pairs.keys() - mapped:
        axes = _same(state[pairs[leaf]], learned[leaf])
        assert axes is not None
        found[leaf] = Match(leaf, pairs[leaf], axes, "values")

    def score(transposed: bool, leaf: str, name: str) -> float | None:
        """The likeness, less where a matrix is the other way round than most or no matrix at all."""
        if not _orders(state[name].shape, learned[leaf].shape):
            return None
        turned = _turns(state[name], learned[leaf]) == {not transposed}
        return _likeness(leaf, name) - turned - (state[name].ndim != learned[leaf].ndim)

    def merit(transposed: bool) -> float:
        """That of all pairs, the higher the fewer siblings are apart."""
        pairs = both[transposed].items()
        alike = sum(score(transposed, *pair) or 0 for pair in pairs)
        return round(alike - len({(_parent(leaf), _parent(name)) for leaf, name in pairs}), 6)

    names = [name for name, v in state.items() if v.dtype.kind == "f"]
    leaves = [path for path, v in learned.items() if v.dtype.kind == "f"]
    matrices = [leaf for leaf in leaves if learned[leaf].ndim > 1]
    both = {way: _pair(leaves, names, partial(score, way), dict(pairs), matrices) for way in (True, False)}
    pairs = both[max(both, key=merit)]
    for leaf in leaves:
        if leaf not in pairs:
            raise UsageError(f"{leaf} {learned[leaf].shape} has no counterpart in the module: say which with mapping=")
    alone = {family[0] for family in _families(leaves, True) if len(family) == 1}
    votes = [
        (_last(leaf), turn, turn or leaf not in alone)  # an embedding is as it is, whatever the others are
        for leaf, name in pairs.items()
        for turn in (_turns(state[name], learned[leaf]) if leaf not in found else {found[leaf].axes == (1, 0)})
        if learned[leaf].ndim == 2
    ]
    for leaf, name in pairs.items():
        if leaf not in found:
            axes, rivals = _oriented(leaf, state[name].shape, learned[leaf].shape, votes)
            found[leaf] = Match(leaf, name, axes, "mapping" if leaf in mapped else "name and shape", rivals)
    return tuple(found[leaf] for leaf in learned if leaf in found)


def _mapped(
    state: Mapping[str, np.ndarray], learned: Leaves, mapping: Mapping[str, Any]
) -> tuple[dict[str, Match], dict[str, str]]:
    """(what `mapping` says with the order of axes, all that it says)."""
    found: dict[str, Match] = {}
    pairs: dict[str, str] = {}
    for name, target in mapping.items():
        leaf, axes = target if isinstance(target, tuple) else (target, None)
        leaf = leaf if leaf in learned else f"parameters{leaf}"
        if name not in state:
            raise UsageError(f"mapping: the module has no '{name}'{nearest(name, state)}")
        if leaf not in learned:
            raise UsageError(f"mapping: there is no leaf '{target}'{nearest(leaf, learned)}")
        orders = _orders(state[name].shape, learned[leaf].shape)
        if (axes is not None and tuple(axes) not in orders) or not orders:
            raise UsageError(
                f"mapping: {leaf} {learned[leaf].shape} is not {name} {state[name].shape} in another order"
            )
        pairs[leaf] = name
        if axes is not None:
            found[leaf] = Match(leaf, name, tuple(axes), "mapping")
    return found, pairs


Score = Callable[[str, str], float | None]
"""How well a leaf and a tensor go together; None where they do not fit."""


def _pair(
    leaves: Sequence[str], names: Sequence[str], score: Score, pairs: dict[str, str], first: Collection[str] = ()
) -> dict[str, str]:
    """`pairs` and, as far as they fit, the best for the other leaves: siblings stay together where they can.

    `first` are those after which their siblings find their place.
    """
    leaves, names, score = _natural(leaves), _natural(names), cache(score)
    for asked, siblings in ((leaves, True), ([leaf for leaf in leaves if leaf in first], False), (leaves, False)):
        ours = _families((leaf for leaf in asked if leaf not in pairs), siblings)
        theirs = _families((name for name in names if name not in {*pairs.values()}), siblings)
        kin = {(_parent(leaf), _parent(name)) for leaf, name in pairs.items()}
        candidates = []
        for a, b in product(ours, theirs):
            best = _best([({x: y}, score(x, y)) for x, y in product(a, b)] if len(a) <= len(b) else [])
            if len(best) == len(a):
                mean = sum(score(*pair) or 0 for pair in best.items()) / len(a)
                bonus = 4 * ((_parent(a[0]), _parent(b[0])) in kin) - 0.3 * (len(b) - len(a))
                candidates.append((best, mean + bonus))
        pairs.update(_best(candidates))
    return pairs


def _best(candidates: Iterable[tuple[dict[str, str], float | None]]) -> dict[str, str]:
    """One candidate after the other, the best first, equals in the order given, unless a part of it is taken."""
    found: dict[str, str] = {}
    fitting = [(pairs, round(score, 6)) for pairs, score in candidates if score is not None]
    for pairs, _ in sorted(fitting, key=lambda candidate: -candidate[1]):
        if found.keys().isdisjoint(pairs) and {*found.values()}.isdisjoint(pairs.values()):
            found |= pairs
    return found


def _families(paths: Iterable[str], siblings: bool) -> list[list[str]]:
    families: dict[Hashable, list[str]] = {}
    for path in paths:
        families.setdefault(_parent(path) if siblings else path, []).append(path)
    return [*families.values()]


def _natural(paths: Sequence[str]) -> list[str]:
    """In the order given, but where they differ in a number alone, in the order of the numbers."""
    first: dict[tuple[str, ...], int] = {}

    def key(path: str) -> list[int]:
        parts = re.split(r"(\d+)", path)
        return [
            int(part) if i % 2 else first.setdefault(tuple(parts[: i + 1]), len(first)) for i, part in enumerate(parts)
        ]

    return sorted(paths, key=key)


ROLES = {
    **dict.fromkeys(("w", "weight", "weights", "kernel", "scale", "gamma", "g", "embedding", "embeddings"), "weight"),
    **dict.fromkeys(("b", "bias", "biases", "beta", "offset"), "bias"),
    "mean": "mean",
    "var": "var",
}
"""What libraries call a parameter of a layer."""
LETTERS = re.compile(rf"^([wb])(?=[a-z]\d*$)|^({'|'.join(ROLES)})(?=\d)")
"""Where Wq and b1 are two words."""


class _Name(NamedTuple):
    """A path in words: q_proj.weight, or Wq."""

    words: tuple[str, ...]
    """q, proj: what tells the layer, but for numbers that stand alone."""
    parent: tuple[str, ...]
    """What it has in common with its siblings."""
    role: str
    called: str
    """The role in its own word."""


@cache
def _named(path: str) -> _Name:
    path = re.sub(r"^parameters|running_|(?<=[a-zA-Z])[123]_?[dD](?![a-zA-Z])|\.value$", "", path)
    words = re.findall(r"[a-z]+\d*|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", path).lower()) or [path]
    words = [part for word in words for part in re.sub(LETTERS, r"\1\2 ", word).split()]
    ends = [i for i, word in enumerate(words) if word in ROLES]
    at = ends[-1] if ends else len(words) - 1
    role = ROLES.get(words[at], words[at])
    parent = (*words[:at], *words[at + 1 :]) if ends or words[at].isdigit() else tuple(words)
    tells = parent if role in ("weight", "bias") and parent else (*parent, role, words[at])
    return _Name(tuple(word for word in tells if not word.isdigit()), parent, role, words[at])


def _parent(path: str) -> tuple[str, ...]:
    return _named(path).parent


def _last(path: str) -> str:
    """Its last word that is not a number: kernel, w, weight."""
    return ([word for word in re.findall(r"[a-z]+", path.lower()) if word != "value"] or [""])[-1]


def _likeness(leaf: str, name: str) -> float:
    """How much the two names have in common: their words, and what they are to their layers."""
    ours, theirs = _named(leaf), _named(name)
    same = sum(max((_alike(a, b) for b in theirs.words), default=0.0) for a in ours.words)
    role = (ours.role == theirs.role) + 0.1 * _alike(ours.called, theirs.called)  # b is bias rather than beta is
    whole = 2 * (ours.words == theirs.words != ())  # of long paths one word is little, and may be all that differs
    return 4 * same / (len(ours.words) + len(theirs.words) or 1) + role + whole


@cache
def _alike(a: str, b: str) -> float:
    """q and query, enc and encoder, attn and attention; fc1 is more like fc1 than like fc2."""
    if a == b:
        return 1.0
    a, b = sorted((a.rstrip("0123456789"), b.rstrip("0123456789")), key=len)
    return 0.8 if b.startswith(a) else 0.6 if len(a) > 3 and a[:3] == b[:3] else 0.0


@cache
def _orders(shape: tuple[int, ...], wanted: tuple[int, ...]) -> list[Axes]:
    """The orders of axes that make one shape the other: as it is, as linear and convolution layers have it, any.

    Axes of length 1 may be lacking or added, a bias (4, 1, 1), or an axis may be several, heads and what each has, if
    the shape cannot be had otherwise.
    """
    count = len(shape)
    if count > 5:
        return []
    usual = [tuple(range(count)), _channels_last(count)]
    every = [*dict.fromkeys([*usual, *permutations(range(count))])]
    lean = [n for n in wanted if n != 1]
    return (
        [a for a in every if tuple(shape[i] for i in a) == wanted]
        or [a for a in every if [shape[i] for i in a if shape[i] != 1] == lean]
        or [a for a in every if count < len(wanted) and _splits([shape[i] for i in a], wanted)]
    )


def _splits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether each axis is one or several of the wanted ones, in order."""
    ends = {*accumulate(shape, mul)}
    return len(ends) == len(shape) and ends <= {*accumulate(wanted, mul)} and prod(shape) == prod(wanted)


def _channels_last(count: int) -> Axes:
    """(out, in, H, W) as (H, W, in, out)."""
    return (*range(2, count), *reversed(range(min(count, 2))))


def _oriented(
    leaf: str, shape: tuple[int, ...], wanted: tuple[int, ...], votes: Sequence[tuple[str, bool, bool]]
) -> tuple[Axes, tuple[Axes, ...]]:
    """(the order of its axes, its rivals): as others of its name have it, as its name says; else a guess.

    A vote is a leaf's name, whether it is transposed, and whether that says much.
    """
    orders, count = _orders(shape, wanted), len(shape)
    spatial = tuple(range(2, count))
    likely = [
        a for pair in ((0, 1), (1, 0)) for a in ((*pair, *spatial), (*spatial, *pair), (pair[0], *spatial, pair[1]))
    ]
    fitting = [a for a in (orders[0], *likely) if a in orders]
    rivals = tuple({tuple(i for i in a if shape[i] != 1): a for a in reversed(fitting)}.values())[::-1]
    if len(wanted) < count or len(rivals) < 2:
        return orders[0], ()

    def voted(asked: Callable[[str, bool], bool]) -> Axes | None:
        turns = [turn for name, turn, sure in votes if asked(name, sure)]
        return None if count > 2 or 2 * sum(turns) == len(turns) else ((0, 1), (1, 0))[2 * sum(turns) > len(turns)]

    word = "kernel" if "kernel" in leaf.lower() else _last(leaf)
    as_it_is = tuple(range(count))
    named = {"kernel": _channels_last(count), **dict.fromkeys(("weight", "embedding", "embeddings"), as_it_is)}.get(
        word
    )
    decided = voted(lambda name, sure: name == _last(leaf) and sure) or (named if named in orders else None)
    if decided:
        return decided, ()
    guess = voted(lambda name, sure: sure) or voted(lambda name, sure: name == _last(leaf))
    guess = guess or ((1, 0) if count == 2 else orders[0])  # x @ w is what most write
    return guess, tuple(sorted(rivals, key=guess.__ne__))


def _turns(tensor: np.ndarray, leaf: np.ndarray) -> set[bool]:
    """Whether a matrix is transposed, if its shape tells."""
    orders = _orders(tensor.shape, leaf.shape) if tensor.ndim == leaf.ndim == 2 else []
    return {orders[0] == (1, 0)} if len(orders) == 1 else set()


def _same(tensor: np.ndarray, leaf: np.ndarray) -> Axes | None:
    """The order of axes in which the tensor has the leaf's values."""
    if tensor.size != leaf.size or not np.isclose(np.abs(tensor).sum(), np.abs(leaf).sum(), rtol=1e-5):
        return None
    fitting = (
        a
        for a in _orders(tensor.shape, leaf.shape)
        if np.allclose(np.transpose(tensor, a).reshape(leaf.shape), leaf, rtol=1e-6, atol=0)
    )
    return next(fitting, None)
