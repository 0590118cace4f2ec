"""What the page says and draws, from results as `to_json` gives them and from a recording."""

from __future__ import annotations

import base64
import gzip
import math
import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backends import FRAMEWORKS
from ..common.agreement import GOOD, agreed, bad
from ..common.crossings import crossings
from ..common.headline import is_written, shown
from ..common.problem import PROBLEMS, Problem
from ..common.words import counted, exact, first_three, listed, short
from ..compare.result import INCONCLUSIVE
from ..diverge.result import UNFINISHED, already
from .documents import Documents
from .recording import Replay, Track

MOST_NUMBERS = 400_000
"""Of inputs and targets; with more, the page shows the recording alone and does not train."""
LISTED = 4_000
"""Up to this many numbers are written out; more are packed."""

SPELLED = {"numpy": "NumPy", "torch": "PyTorch", "jax": "JAX"}


@dataclass(frozen=True)
class Verdict:
    """One card at the top."""

    name: str
    text: str
    good: bool | None
    """None for what is neither right nor wrong."""
    sha256: str = ""
    aside: bool = False
    """Not for the one line of all."""

    @property
    def kind(self) -> str:
        return "info" if self.good is None else "good" if self.good else "bad"


def nice(name: str) -> str:
    """torch:cuda is PyTorch:cuda."""
    framework, colon, device = name.partition(":")
    return SPELLED.get(framework, framework) + colon + device


def _run_name(run: dict[str, Any]) -> str:
    return run["backend"] if run["device"] == "cpu" else f"{run['backend']}:{run['device']}"


def _described(given: Documents, replay: Replay | None) -> dict[str, Any] | None:
    if replay:
        return replay.problem.to_json()
    whole = [d["problem"] for d in (*given.compare, *given.diverge, *given.check)]
    return max(whole, key=len) if whole else None


def title(given: Documents, replay: Replay | None) -> dict[str, str]:
    """The name of the problem, and what it is in one line."""
    p = _described(given, replay)
    if p is None and given.crosscheck:
        return {"name": "crosscheck", "line": "of functions and their ports"}
    if p is None:
        return {"name": "timings", "line": "of several problems"}
    parts = [f"{' → '.join(map(str, p['layers']))} units", counted(p["samples"], "sample")]
    if "updates" in p:
        parts += [
            counted(p["updates"], "update"),
            f"learning rate {exact(p['learning_rate'])}",
            f"seed {p['seed']}",
        ]
    return {"name": p["name"], "line": ", ".join(parts)}


def headline(given: Documents, replay: Replay | None) -> str:
    """What somebody who reads one line should know."""
    found = verdicts(given, replay)
    runs = [run for d in given.compare for run in d["runs"] if run["outcome"] != "missing"]
    names = list(dict.fromkeys(nice(_run_name(run)) for run in runs))
    if any(v.good is False for v in found):
        return "Not everything agrees."
    if len(names) < 2:
        if any(v.good for v in found):
            return "Checked, and in order."
        return "Compared, bit by bit." if given.diverge else "Timings" if given.bench else "Nothing to compare."
    kinds: dict[str, dict[str, set[str | None]]] = {}
    for run in runs:
        kinds.setdefault(run["arithmetic"], {}).setdefault(run["dtype"], set()).add(run["weights_sha256"])
    same = {kind: all(len(hashes) == 1 for hashes in by_dtype.values()) for kind, by_dtype in kinds.items()}
    if all(same.values()):
        return f"{listed(names)} reach the same weights, bit for bit."
    if same.get("reproducible"):
        return (
            f"{listed(names)} reach the same weights: bit for bit if reproducible, "
            "to within rounding with their own operations."
        )
    return f"{listed(names)} agree, though not bit for bit."


def verdicts(given: Documents, replay: Replay | None) -> list[Verdict]:
    """One card for each arithmetic of each comparison, for each check of gradients or of a port, and for what broke."""
    return [
        *_of_comparisons(given), *_of_checks(given), *_of_crosschecks(given), *_of_divergences(given),
        *_of_failures(given, replay),
    ]  # fmt: skip


def _of_comparisons(given: Documents) -> Iterator[Verdict]:
    for document in given.compare:
        for arithmetic in dict.fromkeys(run["arithmetic"] for run in document["runs"]):
            runs = [run for run in document["runs"] if run["arithmetic"] == arithmetic]
            wrong = [run for run in runs if bad(run["outcome"])]
            unclear = [nice(_run_name(run)) for run in runs if run["outcome"] == "inconclusive"]
            ran = [run for run in runs if run["outcome"] in GOOD]
            hashes = {run["weights_sha256"] for run in ran}
            names = [nice(_run_name(run)) for run in ran]
            if wrong:
                text = "not in agreement: " + "; ".join(_failing(run) for run in wrong)
            elif unclear:
                text = INCONCLUSIVE.format(listed(unclear))
            elif len(ran) < 2:
                text = f"{listed(names) if names else 'no framework'} ran alone, so there was nothing to compare"
            elif len(hashes) == 1:
                text = f"identical weights in {listed(names)}"
            else:
                ulp = max(run["max_ulp"] or 0 for run in ran)
                text = f"{listed(names)} agree, at most {ulp:,} ULP apart"
            missing = [nice(_run_name(run)) for run in runs if run["outcome"] == "missing"]
            text += f" ({listed(missing)} missing)" if missing else ""
            one = hashes.pop() if len(hashes) == 1 and not wrong else ""
            dtype = runs[0]["dtype"]
            good = not (wrong or unclear) and bool(ran)
            yield Verdict(f"{arithmetic}, {dtype}", text, None if good and len(ran) == 1 else good, one or "")


def _failing(run: dict[str, Any]) -> str:
    return f"{nice(_run_name(run))} ({run['outcome']})" + (f": {run['message']}" if run["message"] else "")


def _of_checks(given: Documents) -> Iterator[Verdict]:
    texts: dict[str, list[dict[str, Any]]] = {}
    for document in given.check:
        texts.setdefault(document["verdict"].rstrip("."), []).append(document)
    for text, documents in texts.items():
        good = all(d["agreed"] for d in documents)
        yield Verdict(f"gradient, {listed([d['dtype'] for d in documents])}", text, good)


def _of_crosschecks(given: Documents) -> Iterator[Verdict]:
    for document in given.crosscheck:
        good = document["agreed"] and agreed(f["outcome"] for f in document["functions"])
        yield Verdict(f"crosscheck, {document['dtype']}", document["verdict"].rstrip("."), good)


def _of_divergences(given: Documents) -> Iterator[Verdict]:
    """One card for all: where they part is neither right nor wrong."""
    kinds: dict[str, list[str]] = {}
    for d in given.diverge:
        a, b = map(nice, d["backends"])
        pair = f"{b} and {a}" if a != "NumPy" else b
        where = f"in update {d['first']['update']:,}" if d["first"] else "never"
        kinds.setdefault(f"{_same(d['arithmetics'])} {_same(d['dtypes'])}", []).append(f"{pair} {where}")
    if kinds:
        others = any(d["backends"][0] != "numpy" for d in given.diverge)
        name = "where weights part" if others else "where weights part from NumPy's"
        yield Verdict(name, "; ".join(f"{k}: {', '.join(v)}" for k, v in kinds.items()), None, aside=True)


def _of_failures(given: Documents, replay: Replay | None) -> Iterator[Verdict]:
    """What broke down in the replay, unless a comparison says so already."""
    known = {
        (_run_name(run), run["arithmetic"], run["dtype"])
        for document in given.compare
        for run in document["runs"]
        if run["outcome"] not in GOOD
    }
    for track in replay.tracks if replay else ():
        if track.trouble and (track.backend, track.arithmetic, track.dtype) not in known:
            yield Verdict(f"{track.arithmetic}, {track.dtype}", f"{nice(track.backend)}: {track.trouble}", False)


def _same(values: Sequence[str]) -> str:
    return " / ".join(dict.fromkeys(values))


def facts(passport: dict[str, Any], replay: Replay | None) -> list[tuple[str, str]]:
    """The passport at a glance: a name and a short value each."""
    versions, backends = (v if isinstance(v := passport.get(key), dict) else {} for key in ("versions", "backends"))
    lists = [b.get("devices") for b in backends.values() if isinstance(b, dict)]
    devices = [str(d) for found in lists if isinstance(found, list) for d in found]
    found = [
        ("machine", f"{passport.get('processor', 'unknown')}, {passport.get('cores', '?')} cores"),
        ("system", str(passport.get("system", "unknown"))),
        ("Python", str(passport.get("python", "unknown"))),
        *((nice(name), str(versions.get(name) or "not installed")) for name in FRAMEWORKS),
        ("devices", ", ".join(dict.fromkeys(["cpu", *devices]))),
        ("vector units", _plain(passport.get("simd") or "none found")),
    ]
    if replay:
        found.append(("precision", " and ".join(dict.fromkeys(t.dtype for t in replay.tracks))))
    return found


def rows(passport: dict[str, Any]) -> list[tuple[str, str]]:
    """The whole passport, one row per fact."""
    found = []
    for name, value in passport.items():
        if isinstance(value, dict):
            for inner, v in value.items():
                if isinstance(v, dict):
                    found += [(f"{inner} {k}", _plain(x)) for k, x in v.items()]
                else:
                    found.append((f"{name} {inner}", _plain(v)))
        else:
            found.append((name, _plain(value)))
    return found


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else "not installed" if value is None else str(value)


def runs(given: Documents) -> list[dict[str, str]]:
    """The table of compare."""
    return [
        {
            "backend": nice(_run_name(run)),
            "framework": run["backend"],
            "arithmetic": run["arithmetic"],
            "dtype": run["dtype"],
            "outcome": run["outcome"],
            "good": "yes" if run["outcome"] in GOOD else "",
            "ulp": "" if run["max_ulp"] is None else f"{run['max_ulp']:,}",
            "difference": v if isinstance(v := run["max_abs_difference"], str) else short(v),
            "figures": f"{sum(run['figures'])} of {len(run['figures'])}" if run["figures"] else "",
            "weights": first_three(run["weights"], run["dtype"]),
            "sha256": run["weights_sha256"] or "",
            "message": run["message"],
        }
        for document in given.compare
        for run in document["runs"]
    ]


def divergences(given: Documents) -> list[dict[str, Any]]:
    """Where two backends part, one card each; those that never do last."""
    cards = []
    for d in given.diverge:
        first = d["first"]
        card: dict[str, Any] = {
            "sides": [nice(s) for s in d["backends"]],
            "where": f"{_same(d['arithmetics'])}, {_same(d['dtypes'])}",
            "notes": [n for n in d["notes"] if not n.startswith(UNFINISHED)],
            "first": first,
        }
        if first is None:
            card["text"] = f"Every bit of every weight is the same, through {counted(d['updates_compared'], 'update')}."
        else:
            differing = [o["name"] for o in first["operations"] if not o["same"]]
            card["text"] = (
                f"Their weights part in update {first['update']:,}, from the {_spelled(first['quantity'])} of layer "
                f"{first['layer']} on, by {first['max_ulp']:,} ULP at most."
            )
            card["differing"] = [(name, d["how"].get(name, [])) for name in differing]
            card["elements"] = first["elements"][:3]
        card["already"] = already(d)
        cards.append(card)
    return sorted(cards, key=lambda card: card["first"] is None)


def _spelled(quantity: str) -> str:
    return "pre-activation" if quantity == "preactivation" else quantity


def crosschecks(given: Documents) -> list[dict[str, Any]]:
    """Each crosscheck: a row for each function and leaf, and where PyTorch and JAX part."""
    found = []
    for d in given.crosscheck:
        rows = []
        for f in d["functions"]:
            leaves = f["leaves"] or [{"path": "", "shape": None, "outcome": "", "message": f["message"]}]
            for leaf in leaves:
                rows.append(
                    {
                        "function": "" if leaf is not leaves[0] else nice(f["name"]),
                        "framework": f["name"],
                        "outcome": "" if leaf is not leaves[0] else f["outcome"],
                        "good": f["outcome"] in GOOD,
                        "leaf": leaf["path"],
                        "shape": _size(leaf["shape"]),
                        "gradient": leaf["outcome"],
                        "right": leaf["outcome"] in GOOD,
                        "error": _number(leaf.get("relative_error")),
                        "forward": _number(f["forward_mode"]),
                        "message": leaf["message"],
                    }
                )
        p = d["parting"]
        sites = [_site(p[name], nice(name)) for name in ("torch", "jax")] if p else []
        if p and p["onward"] is not None and p["onward"]["line"]:
            sites.append(_site(p["onward"], "goes on"))
        said = [
            f"{nice(f['name'])} {f['outcome']}: {f['message']}" for f in d["functions"] if f["message"] and f["leaves"]
        ]
        found.append({**d, "rows": rows, "sites": sites, "said": said, "bound": _number(d["bound"])})
        if p:
            found[-1]["apart"] = {"difference": _number(p["difference"]), "ulp": p["ulp"] and f"{p['ulp']:,}"}
    return found


def _site(site: dict[str, Any], side: str) -> dict[str, Any]:
    place = f"{_base(site['file'])}:{site['line']}" if site["line"] else site["part_of"] or "an argument"
    calls = ", ".join(
        ":".join([_base(str(file)), *map(str, line)]) for file, *line in filter(None, site["called_from"])
    )
    values = [f"{v:.8g}" if not isinstance(v, str) else v for v in site["values"]]
    return {
        **site, "side": side, "place": place, "calls": calls, "shape": _size(site["shape"]), "numbers": values,
        "operation": site["operation"] or "given",
    }  # fmt: skip


def _base(path: str) -> str:
    return re.split(r"[/\\]", path)[-1]


def _size(shape: Sequence[int] | None) -> str:
    return "" if shape is None else " x ".join(map(str, shape)) or "one number"


def _number(value: float | str | None) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:.1e}"


def data(given: Documents, replay: Replay | None) -> dict[str, Any]:
    """What the scripts of the page read."""
    return {
        "names": SPELLED,
        "replay": replay and _replay(replay),
        "task": replay and _task(replay.problem),
        "distances": [*_distances(given, replay)],
        "curves": [d["curve"] for d in given.check if d["curve"]],
        "iterations": replay and _iterations(replay),
        "timings": [t for d in given.bench for t in _timings(d)],
        "sweeps": [s for d in given.bench for s in sweeps(_timings(d))],
    }


def _bytes(array: np.ndarray) -> str:
    """The bits, row by row, little-endian, as base64: half as long as decimal text, and nothing to be rounded."""
    return base64.b64encode(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()).decode()


def _replay(replay: Replay) -> dict[str, Any]:
    p = replay.problem
    reference: dict[tuple[str, str], Track] = {}
    tracks = []
    for track in replay.tracks:
        base = reference.setdefault((track.dtype, track.arithmetic), track)
        moments = []
        for i, moment in enumerate(track.moments):
            layers = []
            for j, layer in enumerate(moment):
                other = base.moments[i][j] if base is not track and i < len(base.moments) else None
                layers.append(
                    [None if other is not None and _equal(v, other[k]) else _bytes(v) for k, v in enumerate(layer)]
                )
            moments.append(layers)
        tracks.append(
            {
                "backend": track.backend,
                "dtype": track.dtype,
                "arithmetic": track.arithmetic,
                "trouble": track.trouble,
                "sha256": track.weights_sha256,
                "moments": moments,
            }
        )
    return {
        **p.to_json(),
        "stops": replay.stops,
        "shown": replay.samples,
        "units": replay.units,
        "inputs": p.inputs[np.ix_(replay.samples, replay.units[0])].tolist(),
        "targets": p.targets[np.ix_(replay.samples, replay.units[-1])].tolist(),
        "tracks": tracks,
    }


def _task(problem: Problem) -> dict[str, Any] | None:
    """All that the page needs to train the problem by itself; None if there is too much of it."""
    if problem.inputs.size + problem.targets.size > MOST_NUMBERS:
        return None
    return {
        "name": problem.name,
        "built_in": problem.name in PROBLEMS,
        "layers": list(problem.layers),
        "updates": problem.updates,
        "learning_rate": problem.learning_rate,
        "seed": problem.seed,
        "inputs": _packed(problem.inputs),
        "targets": _packed(problem.targets),
        "golden": dict(problem.golden),
    }


def _packed(array: np.ndarray) -> Any:
    """As lists if it is small, else its float64 bytes, compressed, in base64."""
    if array.size <= LISTED:
        return array.tolist()
    packed = gzip.compress(np.ascontiguousarray(array, "<f8").tobytes(), mtime=0)
    return {"columns": array.shape[1], "gzip": base64.b64encode(packed).decode()}


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return a.tobytes() == b.tobytes()


def _distances(given: Documents, replay: Replay | None) -> Iterator[dict[str, Any]]:
    """The distance by update: of what was recorded, and of what files hold beyond that."""
    recorded = set()
    for track in replay.tracks if replay else ():
        if track.distances:
            sides = ["numpy", track.backend]
            recorded.add((*sides, track.dtype, track.arithmetic))
            points: list[list[Any]] = [[d.update, d.max_ulp, _finite(d.max_abs_difference)] for d in track.distances]
            yield {"sides": sides, "dtype": track.dtype, "arithmetic": track.arithmetic, "points": points}
    for d in given.diverge:
        dtype, arithmetic = _same(d["dtypes"]), _same(d["arithmetics"])
        if (*d["backends"], dtype, arithmetic) not in recorded:
            points = [[r["update"], r["max_ulp"], _finite(r["max_abs_difference"])] for r in d["development"]]
            yield {"sides": d["backends"], "dtype": dtype, "arithmetic": arithmetic, "points": points}


def _finite(value: Any) -> float | None:
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def _iterations(replay: Replay) -> dict[str, Any]:
    found = replay.iterations
    return {
        "backend": found.backend,
        "own": replay.problem.updates,
        "updates": found.updates,
        "outputs": [v.tolist() for v in found.outputs],
        "errors": found.errors,
        "targets": replay.problem.targets[np.ix_(replay.samples, replay.units[-1])].tolist(),
        "shown": replay.samples,
        "units": replay.units[-1],
    }


AS_WRITTEN = " (as people write it)"


def _timings(document: dict[str, Any]) -> list[dict[str, Any]]:
    """One entry per problem and dtype: every row with all its samples, in seconds per update."""
    samples = {(b["group"], b["name"]): b["stats"]["data"] for b in document["benchmarks"]}
    tables = []
    for t in document["tables"]:
        group = f"{t['problem']} {t['dtype']}"
        found = [
            {
                "name": row["name"],
                "label": shown(row["name"], row["group"]) + AS_WRITTEN * is_written(row["name"], row["group"]),
                "group": row["group"],
                "framework": next((f for f in FRAMEWORKS if f in (row["group"], re.split(r"\W", row["name"])[0])), ""),
                "samples": samples[group, row["name"]],
                "median": statistics.median(samples[group, row["name"]]),
            }
            for row in t["rows"]
            if samples.get((group, row["name"])) and row["name"] != "null"
        ]
        refused = [f"{row['name']}: {row['outcome']}" for row in t["rows"] if row["outcome"] not in GOOD]
        floors = [row["median"] for row in found if row["group"] == "floor"]
        tables.append(
            {
                "problem": t["problem"], "dtype": t["dtype"], "samples": t["samples"], "layers": t["layers"],
                "threads": t["threads"], "rounds": t["rounds"], "rows": found, "refused": refused,
                "floor": min(floors) if floors else None,
            }
        )  # fmt: skip
    return tables


def sweeps(tables: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tables of which only samples, width or depth differ, as curves, and where two backends break even."""
    found = []
    for dtype in dict.fromkeys(t["dtype"] for t in tables):
        for axis in ("samples", "width", "depth"):
            groups: dict[Any, dict[int, dict[str, Any]]] = {}
            for t in tables:
                if t["dtype"] == dtype and (place := _on(axis, t["samples"], t["layers"])):
                    groups.setdefault(place[1], {})[place[0]] = t
            found += [_sweep(axis, dtype, dict(sorted(g.items()))) for g in groups.values() if len(g) >= 3]
    return found


def _on(axis: str, samples: int, layers: list[int]) -> tuple[int, tuple[int, ...]] | None:
    """Where a network is on an axis, and what stays the same along it; None if it is not on it."""
    if len(layers) < 2:
        return None
    if axis == "samples":
        return samples, tuple(layers)
    if axis == "width":
        return (layers[0], (samples, *layers[2:])) if len(layers) == 3 and layers[0] == layers[1] else None
    return (len(layers) - 1, (samples, layers[0])) if len(set(layers)) == 1 else None


def _sweep(axis: str, dtype: str, tables: dict[int, dict[str, Any]]) -> dict[str, Any]:
    curves: dict[str, dict[int, float]] = {}
    kinds: dict[str, dict[str, Any]] = {}
    for size, table in tables.items():
        for row in table["rows"]:
            curves.setdefault(row["name"], {})[size] = row["median"]
            kinds[row["name"]] = row
    backends = [name for name in curves if kinds[name]["group"] == "backend"]
    even = []
    for i, a in enumerate(backends):
        for b in backends[i + 1 :]:
            even += [{"rows": [a, b], "size": s, "seconds": t} for s, t in crossings(curves[a], curves[b])]
    some = next(iter(tables.values()))
    return {
        "axis": axis,
        "dtype": dtype,
        "network": f"{some['samples']}x{'-'.join(map(str, some['layers']))}",
        "curves": [
            {"name": n, "framework": kinds[n]["framework"], "group": kinds[n]["group"], "points": sorted(c.items())}
            for n, c in curves.items()
        ],
        "even": even,
    }


def captions(data: dict[str, Any]) -> dict[str, str]:
    """What each chart shows, in words, for those who cannot see it."""
    found = {}
    worst = [
        f"{nice(d['sides'][1])} and {nice(d['sides'][0])}, {d['arithmetic']} {d['dtype']}: "
        + (f"up to {most:,} ULP" if (most := max(p[1] for p in d["points"])) else "the same bits throughout")
        for d in data["distances"]
        if d["points"]
    ]
    found["divergence"] = "Largest distance between the weights by update. " + "; ".join(worst) + "."
    lows = [_lowest(c) for c in data["curves"]]
    found["curve"] = "Error of difference quotients by step size, V-shaped. " + " ".join(lows)
    if data["iterations"]:
        e = data["iterations"]["errors"]
        found["iterations"] = f"Mean absolute error: {e[0]:.3g} before the first update, {e[-1]:.3g} before the last."
    return found


def _lowest(curve: dict[str, Any]) -> str:
    known = [p for p in curve["points"] if _finite(p["central"])]
    if not known:
        return ""
    best = min(known, key=lambda p: p["central"])
    return f"{curve['dtype']}: central differences err least, {best['central']:.1e}, at a step of {best['step']:.1e}."
