"""Experiments on the page, in a real browser: each is what `equigrad.compare` makes of the same parameters."""

from __future__ import annotations

import json
import random
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import urlencode

import numpy as np
import pytest

import equigrad
from equigrad.backends.numpy_arithmetic import Space
from equigrad.common import reproducible
from equigrad.common.errors import MissingError
from equigrad.common.golden import GOLDEN
from equigrad.common.problem import Problem
from equigrad.common.problem import problem as built_in
from equigrad.reporting import recording
from length import at_length

TASK = built_in("two-layer").with_(updates=200)
DIGITS = built_in("digits").with_(updates=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def page(folder: Path) -> Path:
    """The two-layer network, by NumPy alone."""
    assert equigrad.report(TASK, backends=["numpy"], out=folder / "two.html").agreed
    return folder / "two.html"


@pytest.fixture(scope="module")
def window(open_tab: Any, page: Path) -> Iterator[Any]:
    """Open through all tests; enough for one that begins with an experiment of its own."""
    tab = open_tab(page)
    yield tab
    tab.close()


@pytest.fixture
def tab(window: Any) -> Any:
    """Back at the start."""
    window.page.evaluate("document.querySelector('#reset').click()")
    settled(window)
    return window


@pytest.fixture(scope="module")
def digits(open_tab: Any, folder: Path) -> Iterator[Any]:
    """The digits after 20 updates, float64, trained in the browser at a click.

    The gradients, which take most of the time, are not checked: those of a site are.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("equigrad.reporting.page.gradcheck.check", Mock(side_effect=MissingError("left out here")))
        equigrad.report(DIGITS, backends=["numpy"], dtype="float64", out=folder / "digits.html")
    tab = open_tab(folder / "digits.html")
    tab.page.evaluate(
        "document.querySelector('#mine-start').hidden || document.querySelector('#mine-start button').click()"
    )
    tab.page.locator("#mine.good").wait_for(timeout=120_000)
    yield tab
    tab.close()


def settled(tab: Any) -> None:
    """Nothing trains any more."""
    tab.page.locator("#stop").wait_for(state="hidden", timeout=60_000)


def fragment(**settings: Any) -> str:
    return "#lab?" + urlencode(settings)


def run(tab: Any, **settings: Any) -> str:
    """Open a link with these settings; the SHA-256 on the page."""
    (found,) = run_all(tab, [settings])
    return found


def run_all(tab: Any, experiments: list[dict[str, Any]]) -> list[str]:
    """Open a link with each of these settings, one after the other; the SHA-256 on the page after each."""
    found = tab.page.evaluate(
        "async (links) => { const found = [];"
        " for (const link of links) { await (await lab).run(link);"
        " found.push([[...document.querySelectorAll('.wrong')].map((line) => line.textContent).join(''),"
        " document.querySelector('#lab-hash').textContent]); }"
        " return found; }",
        [fragment(**settings) for settings in experiments],
    )
    assert {wrong for wrong, _ in found} == {""}
    return [str(sha256) for _, sha256 in found]


def rows(array: np.ndarray) -> str:
    return ";".join(",".join(map(repr, row)) for row in array.tolist())


def by_numpy(problem: Problem, dtype: str = "float64") -> Any:
    (found,) = equigrad.compare(problem, ["numpy"], dtype=dtype, arithmetic="reproducible").runs
    return found


def settings_of(problem: Problem, dtype: str) -> dict[str, Any]:
    """All that a link says of it."""
    return {
        "updates": problem.updates,
        "rate": problem.learning_rate,
        "hidden": ",".join(map(str, problem.layers[1:-1])) or 0,
        "seed": problem.seed,
        "precision": dtype,
        "inputs": rows(problem.inputs),
        "targets": rows(problem.targets),
    }


@pytest.mark.slow(but=["float64-one-layer"])
@pytest.mark.parametrize("name", ["one-layer", "two-layer"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_browser_reaches_the_published_hash_of(window: Any, name: str, dtype: str) -> None:
    assert run(window, **settings_of(built_in(name), dtype)) == GOLDEN[name][dtype]


def test_on_load_the_browser_trains_and_is_identical(tab: Any) -> None:
    assert tab.page.inner_text("#mine-title") == "your browser: identical"
    assert tab.page.inner_text("#mine-hash") == by_numpy(TASK).weights_sha256
    text = tab.page.inner_text("#mine-text")
    assert "float64: 200 updates in" in text
    assert "float32: 200 updates in" in text


def test_what_is_offered_to_be_tried_is_not_what_it_learned(tab: Any) -> None:
    offered = [[float(v) for v in line.split()] for line in tab.page.input_value("#unseen").split("\n")]
    assert offered == [[1, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert not {tuple(row) for row in offered} & {tuple(row) for row in TASK.inputs.tolist()}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_digits_are_learned_to_numpys_bits_in(digits: Any, dtype: str) -> None:
    found = digits.page.inner_text("#mine-hash") if dtype == "float64" else run(digits, precision=dtype)
    assert found == by_numpy(DIGITS, dtype).weights_sha256


def random_problem(seed: int) -> tuple[Problem, str]:
    """Any that the form allows: one to four rows or more, up to two hidden layers, either precision."""
    pick = random.Random(seed)
    samples, hidden = pick.randint(1, 9), [pick.randint(1, 16) for _ in range(pick.choice([0, 1, 1, 1, 2]))]
    draw = np.random.RandomState(seed)
    inputs = draw.choice([0.0, 1.0, -1.0, 0.5, 0.1, 3.7, 1e-3, -20.25], size=(samples, 3))
    problem = replace(
        TASK,
        inputs=inputs,
        targets=draw.choice([0.0, 1.0, 0.25, 0.9], size=(samples, 1)),
        layers=(3, *hidden, 1),
        updates=pick.choice([1, 2, 9, 30, 100]),
        learning_rate=pick.choice([1.0, 0.1, 0.5, 3.0, 10.0, 2**-9, 1e-3]),
        seed=pick.choice([0, 1, 7, 12345, 2**32 - 1]),
        golden={},
        figures=(),
    )
    return problem, pick.choice(["float64", "float32"])


@pytest.mark.slow
def test_random_experiments_are_what_compare_makes_of_them(window: Any) -> None:
    experiments = [random_problem(seed) for seed in range(at_length(50, short=20))]
    found = run_all(window, [settings_of(problem, dtype) for problem, dtype in experiments])
    for seed, ((problem, dtype), shown) in enumerate(zip(experiments, found, strict=True)):
        assert shown == by_numpy(problem, dtype).weights_sha256, (seed, problem, dtype)


@pytest.mark.parametrize(
    ("fields", "cells", "changed"),
    [
        ({"updates": "777"}, {}, {"updates": 777}),
        ({"rate": "2.5"}, {}, {"learning_rate": 2.5}),
        ({"seed": "7"}, {}, {"seed": 7}),
        ({"hidden": "0"}, {}, {"layers": (3, 1)}),
        ({"hidden": "16"}, {}, {"layers": (3, 16, 1)}),
        ({}, {(0, 3): "1", (2, 0): "0.5"}, {}),
    ],
    ids=[
        "more updates",
        "another learning rate",
        "other first weights",
        "no hidden units",
        "16 hidden units",
        "other data",
    ],
)
def test_what_is_typed_into_the_form_is_trained(
    tab: Any, fields: dict[str, str], cells: dict[tuple[int, int], str], changed: dict[str, Any]
) -> None:
    for name, text in fields.items():
        tab.page.fill(f"#{name}", text)
    data = np.hstack([TASK.inputs, TASK.targets])
    for (i, j), text in cells.items():
        tab.page.locator("#rows tbody tr").nth(i).locator("input").nth(j).fill(text)
        data[i, j] = float(text)
    tab.page.click("#train")
    settled(tab)
    expected = replace(TASK, inputs=data[:, :3], targets=data[:, 3:], **changed)
    assert tab.page.inner_text("#lab-hash") == by_numpy(expected).weights_sha256
    assert tab.page.is_visible("#banner")
    # the inside of it is on the page too, as a trace has it
    trace = equigrad.trace(expected, ["numpy"], updates=1, arithmetic="reproducible")
    line = next(v for v in trace.lines if v.layer == len(expected.layers) - 1 and v.quantity == "preactivation")
    assert tab.live()["browser", "preactivation"] == line.values[0][:, 0].tolist()


def test_numbers_are_taken_as_the_page_prints_them(tab: Any) -> None:
    tab.page.fill("#updates", "1,000")
    tab.page.fill("#rate", "5e−1")
    tab.page.locator("#rows tbody tr").nth(0).locator("input").nth(0).fill("−0.25")
    tab.page.click("#train")
    settled(tab)
    inputs = np.vstack([[-0.25, 0, 1], TASK.inputs[1:]])
    expected = replace(TASK, inputs=inputs, updates=1_000, learning_rate=0.5)
    assert tab.page.inner_text("#lab-hash") == by_numpy(expected).weights_sha256


def test_beside_an_experiment_what_is_not_of_it_says_so(tab: Any) -> None:
    notes = tab.page.locator(".page-run")
    assert [note.is_visible() for note in notes.all()] == [False] * 4
    tab.page.click('[data-try="flip"]')
    settled(tab)
    assert [note.is_visible() for note in notes.all()] == [True] * 4
    assert "in your browser, which alone" in tab.page.inner_text("#replay .lead")
    live = tab.page.locator('article[data-backend="numpy"] .live')
    assert live.inner_text() == "No values: your experiment was not trained in NumPy."
    tab.page.click("#reset")
    settled(tab)
    assert not notes.first.is_visible()
    assert "in every framework and in your browser" in tab.page.inner_text("#replay .lead")


def test_the_steps_go_back_through_the_hidden_layer_and_say_before_which_update(tab: Any) -> None:
    run(tab)
    tab.page.click("#first")
    trace = equigrad.trace(TASK, ["numpy"], updates=1, arithmetic="reproducible")
    e, delta = (
        next(v for v in trace.lines if (v.layer, v.quantity) == (1, q)).values[0][0, 0] for q in ("error", "delta")
    )
    said = {name: tab.page.inner_text(f'[data-lesson="{name}"] .now-line') for name in ("delta", "update", "repeat")}
    assert said["delta"].endswith(f" Hidden unit 1: e = {e:.4f}, δ = {delta:.4f}.".replace("-", "−"))
    assert said["update"].endswith("; the change adds up all 4 samples.")
    first = np.abs(TASK.targets - equigrad.load("numpy").predict(TASK.first_weights(), TASK.inputs)).mean()
    assert said["repeat"].startswith(f"Mean error: {first:.4f} before update 1, ")
    assert tab.page.is_visible("#backwards")
    run(tab, hidden=0)
    assert not tab.page.is_visible("#backwards")
    tab.page.click('.num[data-quantity="preactivation"][data-row="0"]')
    assert tab.page.inner_text("#bits b") == "pre-activation of sample 1"


def test_of_an_update_that_another_framework_lacks_the_nearest_is_offered_and_each_hash_says_whose_it_is(
    tab: Any,
) -> None:
    run(tab)
    tab.page.fill("#goto", "137")
    tab.page.keyboard.press("Enter")
    tab.page.locator("#now", has_text="137").wait_for()
    assert tab.page.inner_text("#differ") == "this update is in your browser only, nothing to compare"
    tab.choose("framework", "numpy")
    assert "Update 137 is not recorded for NumPy." in tab.page.inner_text("#differ")
    tab.page.click("#differ button")
    assert tab.update() == 147
    assert "the same bits in all" in tab.page.inner_text("#differ")
    for arithmetic in ("reproducible", "native"):
        tab.choose("arithmetic", arithmetic)
        (found,) = equigrad.compare(TASK, ["numpy"], arithmetic=arithmetic).runs
        expected = f"SHA-256 of the weights after all updates, NumPy, {arithmetic} float64: {found.weights_sha256}"
        assert tab.page.inner_text("#at-hash") == expected
    tab.choose("framework", "browser")  # which then has the reproducible arithmetic
    tab.choose("arithmetic", "native")
    assert tab.page.inner_text("#differ") == "No native float64 run of your browser."
    tab.choose("arithmetic", "reproducible")


@pytest.fixture
def paper(tab: Any) -> Iterator[Any]:
    """As wide as A4, printed from a dark screen."""
    tab.page.click("#first")
    tab.page.emulate_media(color_scheme="dark", media="print")
    tab.page.set_viewport_size({"width": 718, "height": 1000})
    tab.page.evaluate(  # where no chart has come into view, Plotly is unpacked while nothing else is done
        "async () => { for (let i = 0; i < 250 && !window.Plotly; i++)"
        " await new Promise((done) => setTimeout(done, 20)); dispatchEvent(new Event('beforeprint')); }"
    )
    yield tab
    tab.page.evaluate("dispatchEvent(new Event('afterprint'))")
    dark = tab.page.get_attribute("html", "data-theme")
    tab.page.emulate_media(color_scheme="light", media="screen")
    tab.page.set_viewport_size({"width": 1280, "height": 900})
    assert dark == "dark"


@pytest.mark.slow
def test_paper_has_every_chart_every_column_and_the_update(paper: Any) -> None:
    page = paper.page
    assert page.evaluate("[...charts.keys()].filter((id) => !document.querySelector(`#${id} .main-svg`))") == []
    assert page.get_attribute("html", "data-theme") == "light"
    assert page.inner_text("#paper").startswith("Update 1 of 200, ")
    right = "(id) => document.querySelector(id).getBoundingClientRect().right"
    assert page.evaluate(right, "#samples") <= page.evaluate(right, "#replay")


def test_an_experiment_is_made_and_left_by_keyboard_alone(tab: Any) -> None:
    keyboard = tab.page.keyboard
    tab.page.focus("#rows tbody tr:first-child input")
    for _ in range(3):
        keyboard.press("Tab")  # to the target of row 1
    keyboard.type("0.5")
    keyboard.press("Enter")
    settled(tab)
    targets = np.vstack([[0.5], TASK.targets[1:]])
    assert tab.page.inner_text("#lab-hash") == by_numpy(replace(TASK, targets=targets)).weights_sha256
    tab.page.focus("#banner button")
    keyboard.press("Enter")
    settled(tab)
    assert tab.page.inner_text("#lab-hash") == by_numpy(TASK).weights_sha256
    assert tab.page.input_value("#rows tbody tr:first-child input.target") == "0"


def test_rows_are_added_and_removed(tab: Any) -> None:
    tab.page.click("#add-row")
    for j, text in enumerate(["1", "0", "0", "0.5"]):
        tab.page.locator("#rows tbody tr").nth(4).locator("input").nth(j).fill(text)
    tab.page.click('button[aria-label="Remove sample 2"]')
    tab.page.click("#train")
    settled(tab)
    inputs = np.vstack([TASK.inputs[[0, 2, 3]], [1, 0, 0]])
    expected = replace(TASK, inputs=inputs, targets=np.vstack([TASK.targets[[0, 2, 3]], [0.5]]))
    assert tab.page.inner_text("#lab-hash") == by_numpy(expected).weights_sha256


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "at"),
    [({}, 137), ({"hidden": "5", "seed": "3"}, 42), ({"precision": "float32", "updates": "5000"}, 4321)],
    ids=["of the page's own training", "of an experiment", "of a long one in float32"],
)
def test_any_update_can_be_gone_back_to(tab: Any, settings: dict[str, str], at: int) -> None:
    run(tab, **settings)
    dtype = settings.get("precision", "float64")
    problem = replace(TASK, layers=(3, int(settings.get("hidden", 4)), 1), seed=int(settings.get("seed", 1)))
    before = by_numpy(replace(problem, updates=at - 1), dtype)
    for _ in range(2):  # and again, from what is known by now
        tab.page.fill("#goto", str(at))
        tab.page.keyboard.press("Enter")
        tab.page.locator("#now", has_text=re.compile(f"^{at:,}$")).wait_for()
        assert tab.page.inner_text("#at-hash").endswith(before.weights_sha256)
        assert f"The network before update {at:,};" in tab.page.inner_text("#surface-note")
        tab.page.click("#first")


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"updates": "300", "rate": "0.3", "seed": "5", "precision": "float32"},
        {"hidden": "0"},
        {"hidden": "3,2", "inputs": "0,0.1,1;-0.25,1e-7,1;1,0,1e21", "targets": "0;1;0.125", "rate": "0.01"},
    ],
    ids=["the page's own", "another training", "no hidden layer", "other data and two hidden layers"],
)
def test_the_line_to_copy_gives_the_hash_on_the_page(
    window: Any, settings: dict[str, str], command_line: Any, tmp_path: Path
) -> None:
    """A shell reads the line; the command that it makes of it runs here."""
    shown = run(window, **settings)
    script = f"equigrad() {{ printf '%s\\0' \"$@\"; }}\n{window.page.text_content('#line')}\n"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    words = done.stdout.removesuffix("\0").split("\0")
    done = command_line(*words, "-b", "numpy", "--json", "found.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert [r["weights_sha256"] for r in found["runs"]] == [shown]


def test_an_address_that_changes_is_followed(tab: Any) -> None:
    tab.page.evaluate("location.hash = '#lab?seed=11'")
    tab.page.locator("#banner", has_text="seed 11").wait_for()
    assert tab.page.inner_text("#lab-hash") == by_numpy(replace(TASK, seed=11)).weights_sha256


@pytest.mark.slow
def test_a_link_opens_the_experiment_and_its_update(open_tab: Any, page: Path, tab: Any) -> None:
    tab.page.fill("#hidden", "2")
    tab.page.fill("#rate", "0.75")
    tab.page.click("#train")
    settled(tab)
    link = str(tab.page.evaluate("location.hash"))
    assert link == "#lab?rate=0.75&hidden=2"
    other = open_tab(page, link + "&at=33")
    assert other.page.inner_text("#lab-hash") == tab.page.inner_text("#lab-hash")
    assert other.update() == 33
    assert other.page.input_value("#rate") == "0.75"
    other.page.click('nav a[href="#code"]')
    other.page.wait_for_timeout(100)
    assert other.page.evaluate("location.hash") == link  # a jump to a section keeps it
    other.page.click("#banner button")
    settled(other)
    assert other.page.evaluate("location.hash") == ""
    assert not other.page.is_visible("#banner")
    other.close()


KEPT = "The SHA-256, the pictures and the replay are still those of the run before."
EVIL = "<img src=x onerror=alert(1)>"
WRONG_FIELDS = {
    "letters": ("updates", "many", "The number of updates must be a whole number, not “many”."),
    "nothing": ("updates", " ", "The number of updates is empty: give a whole number."),
    "no update": ("updates", "0", "The number of updates must be between 1 and 10,000,000."),
    "many updates": (
        "updates",
        "10000001",
        "The number of updates must be between 1 and 10,000,000; equigrad compare takes more.",
    ),
    "a fraction": ("updates", "1.5", "The number of updates must be a whole number, not “1.5”."),
    "1e400": ("rate", "1e400", "The learning rate is too large for a number: “1e400”."),
    "a rate of 0": ("rate", "0", "The learning rate must be more than 0."),
    "hexadecimal": ("rate", "0x10", "The learning rate is not a number: “0x10”."),
    "a subnormal rate": ("rate", "1e-310", "The learning rate is too small for float64 (a subnormal number, or zero)."),
    "markup": ("rate", EVIL, f"The learning rate is not a number: “{EVIL}”."),
    "a negative seed": ("seed", "-1", "The seed must be between 0 and 4,294,967,295."),
    "a large seed": ("seed", str(2**32), "The seed must be between 0 and 4,294,967,295."),
    "65 units": ("hidden", "65", "The number of hidden units must be between 1 and 64 in each layer."),
    "an empty layer": (
        "hidden",
        "4,0",
        "The number of hidden units must be between 1 and 64 in each layer; 0 alone means none.",
    ),
    "five layers": ("hidden", "1,1,1,1,1", "The number of hidden units can be given for at most 4 layers."),
}


@pytest.mark.slow(but=["letters", "markup"])
@pytest.mark.parametrize(("field", "text", "message"), WRONG_FIELDS.values(), ids=WRONG_FIELDS)
@pytest.mark.parametrize("way", ["typed", "in a link"])
def test_one_line_at_the_place_and_nothing_lost_for(window: Any, field: str, text: str, message: str, way: str) -> None:
    before = run(window, seed=9)
    if way == "typed":
        window.page.fill(f"#{field}", text)
        window.page.click("#train")
    else:
        window.page.evaluate("async (link) => { await (await lab).run(link); }", fragment(**{"seed": 9, field: text}))
    assert window.page.inner_text(f"#wrong-{field}") == message
    assert [t for t in window.page.locator(".wrong").all_inner_texts() if t] == [message]
    assert window.page.get_attribute(f"#{field}", "aria-invalid") == "true"
    assert window.page.input_value(f"#{field}") == text
    assert window.page.inner_text("#lab-status") == KEPT
    assert window.page.inner_text("#lab-hash") == before
    assert window.page.query_selector("img") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Sample 2, input 3 is empty: give a number."),
        ("x", "Sample 2, input 3 is not a number: “x”."),
        ("1e400", "Sample 2, input 3 is too large for a number: “1e400”."),
        ("-1e300", "Sample 2, input 3 is too large: from 2**960 (1e289) on the same bits are not promised."),
        (EVIL, f"Sample 2, input 3 is not a number: “{EVIL}”."),
    ],
    ids=["empty", "letters", "1e400", "-1e300", "markup"],
)
def test_one_line_at_the_table_for_a_cell_that_is(window: Any, text: str, message: str) -> None:
    before = run(window)
    cell = window.page.locator("#rows tbody tr").nth(1).locator("input").nth(2)
    cell.fill(text)
    window.page.click("#train")
    assert window.page.inner_text("#wrong-rows") == message
    assert cell.get_attribute("aria-invalid") == "true"
    assert window.page.inner_text("#lab-hash") == before
    assert window.page.query_selector("img") is None


WRONG_LINKS = {
    "an unknown word": (urlencode({EVIL: 1}), f"it has “{EVIL}”, which this page does not know"),
    "the same word twice": ("seed=1&seed=2", "it has “seed” twice"),
    "a ragged table": ("inputs=0,1;1,0&targets=0;1", "each of at most 64 samples needs 3 inputs and 1 target"),
    "rows without targets": ("inputs=0,1,1", "it has inputs of 1 and targets of 4 samples"),
    "another precision": ("precision=float16", "the precision must be float64 or float32, not “float16”"),
    "far too much": ("seed=" + "1" * 30_000, "it is too long"),
    "a property of every object": (
        "precision=constructor",
        "the precision must be float64 or float32, not “constructor”",
    ),
}


@pytest.mark.parametrize(("link", "message"), WRONG_LINKS.values(), ids=WRONG_LINKS)
def test_a_link_is_refused_with_one_line_for(window: Any, link: str, message: str) -> None:
    before = run(window, seed=4)
    window.page.evaluate("async (link) => { await (await lab).run(link); }", f"#lab?{link}")
    assert window.page.inner_text("#wrong-link") == f"The link cannot be used: {message}. Nothing was changed."
    assert window.page.inner_text("#lab-hash") == before
    assert window.page.input_value("#seed") == "4"
    assert window.page.query_selector("img") is None


def test_weights_that_overflow_are_told_with_their_update_and_what_was_there_stays(window: Any) -> None:
    before = run(window, seed=2)
    window.page.fill("#rate", "1e280")
    window.page.click("#train")
    settled(window)
    failed = by_numpy(replace(TASK, learning_rate=1e280, seed=2))
    assert window.page.inner_text("#wrong-rate").lower().rstrip(".") == failed.message.lower()
    assert window.page.inner_text("#lab-hash") == before


@pytest.mark.slow
def test_a_long_training_leaves_the_page_free_and_can_be_stopped(window: Any) -> None:
    before = run(window, seed=6)
    window.page.fill("#updates", "10000000")
    window.page.click("#train")
    window.page.locator("#progress").wait_for()
    window.page.click("#forward")  # the page goes on answering
    assert window.update() == 2
    assert window.page.is_visible("#stop")
    window.page.click("#stop")
    settled(window)
    assert window.page.inner_text("#lab-status").startswith("Stopped after ")
    assert window.page.inner_text("#lab-hash") == before
    assert run(window, seed=6) == before


def spoiled(html: str, change: Callable[[dict[str, Any]], object]) -> str:
    found = re.search(r'(<script type="application/json" id="data">)(.*?)(</script>)', html, flags=re.S)
    assert found
    data = json.loads(found[2])
    change(data)
    return html[: found.start(2)] + json.dumps(data).replace("<", "\\u003c") + html[found.end(2) :]


@pytest.mark.slow
def test_a_browser_that_differs_is_told_with_the_update_and_the_value(open_tab: Any, page: Path, folder: Path) -> None:
    """As if the browser were wrong: the recorded number is another one."""

    def change(data: dict[str, Any]) -> None:
        track = next(
            t for t in data["replay"]["tracks"] if (t["dtype"], t["arithmetic"]) == ("float64", "reproducible")
        )
        track["moments"][4][0][2] = recording_bytes(np.zeros((4, 4)))

    (folder / "other.html").write_text(spoiled(page.read_text(), change))
    other = open_tab(folder / "other.html")
    text = other.page.inner_text("#mine-text")
    assert other.page.inner_text("#mine-title") == "your browser: different"
    assert "in update 5, activation of layer 1, sample 1, unit 1: 0." in text
    assert "here, 0 in NumPy" in text
    other.close()


def recording_bytes(array: np.ndarray) -> str:
    from equigrad.reporting.content import _bytes

    return _bytes(array)


def test_new_inputs_are_predicted_with_the_published_digits(window: Any) -> None:
    """The numbers of the seed's own experiment."""
    run(window, **settings_of(built_in("one-layer"), "float64"))
    window.page.fill("#unseen", "0 1 1\n[1, 1, 0]\n1,0,1\n1 1 1")
    assert window.page.locator("#predictions tbody td").all_inner_texts() == [
        "0.00786466",
        "0.99992250",
        "0.99358931",
        "0.99211997",
    ]
    window.page.fill("#unseen", "0 1")
    assert window.page.inner_text("#wrong-unseen") == "Line 1 has 2 numbers where 3 are needed."
    window.page.fill("#unseen", "0;1;1")
    assert window.page.inner_text("#wrong-unseen") == "Line 1 has 1 number where 3 are needed; commas separate them."
    window.page.fill("#unseen", "")


@pytest.mark.parametrize("z", ["0", "5", "−2.5", "4", "1000", "-1e-9"])
def test_the_sigmoid_and_its_slope_are_shown_at_any_z(tab: Any, z: str) -> None:
    tab.page.fill("#any-z", z)
    a = reproducible.sigmoid(Space, np.array([float(z.replace("−", "-"))]))[0]
    shown = [float(v) for v in re.findall(r"[\d.e-]*\d", tab.page.inner_text("#any-z-out"))]
    assert shown == [a, a * (1 - a)]
    tab.page.fill("#any-z", "z")
    assert tab.page.inner_text("#any-z-out") == "z is not a number: “z”."


@pytest.mark.parametrize(
    ("what", "changed"),
    [
        ("seed", {"seed": 7}),
        ("flip", {"targets": np.array([[1.0], [1], [1], [0]])}),
        ("rate", {"learning_rate": 10.0}),
        ("more", {"updates": 2_000}),
    ],
    ids=["other first weights", "another answer", "a larger learning rate", "more updates"],
)
def test_each_of_the_steps_has_one_thing_to_try(tab: Any, what: str, changed: dict[str, Any]) -> None:
    tab.page.click(f'[data-try="{what}"]')
    settled(tab)
    assert tab.page.inner_text("#lab-hash") == by_numpy(replace(TASK, **changed)).weights_sha256
    assert "undefined" not in tab.page.inner_text("#steps")


@pytest.mark.slow
def test_the_surface_has_the_colour_of_what_the_network_answers(window: Any) -> None:
    """Warm where it says 1, cold where it says 0, at the four corners of exclusive or."""
    run(window, updates=20_000)
    window.page.locator("#surface").scroll_into_view_if_needed()
    room, places = 0.35 / 1.7 * 320, []
    for x1, x2, _ in TASK.inputs:
        places.append([int(room + x1 * (320 - 2 * room)) - 25, int(320 - room - x2 * (320 - 2 * room)) - 25])
    pixels = window.page.evaluate(
        "(places) => { const image = document.querySelector('#surface').getContext('2d').getImageData(0, 0, 320, 320);"
        " return places.map(([x, y]) => [...image.data.slice(4 * (320 * y + x), 4 * (320 * y + x) + 3)]); }",
        places,
    )
    for (red, _, blue), (target,), at in zip(pixels, TASK.targets, places, strict=True):
        assert (red > blue) == bool(target), (at, red, blue)


def test_the_error_curve_starts_and_ends_where_numpys_does(window: Any) -> None:
    run(window, updates=1_000)
    label = window.page.get_attribute("#error-curve", "aria-label")
    track = equigrad.compare(replace(TASK, updates=999), ["numpy"], arithmetic="reproducible").runs[0]
    last = np.abs(TASK.targets - track.outputs).mean()
    assert f"{last:.3g} before update 1,000" in str(label)


@pytest.mark.slow
def test_the_digits_show_units_mistakes_and_a_pad(digits: Any) -> None:
    run(digits)
    backend = equigrad.load("numpy", "float64", "reproducible")
    final = by_numpy(DIGITS).weights
    outputs = backend.predict(tuple(final), DIGITS.inputs)
    wrong = np.flatnonzero(outputs.argmax(1) != DIGITS.targets.argmax(1))
    assert digits.page.inner_text("#wrong-count").startswith(f"{len(wrong):,} of 1,797 samples")
    first = digits.page.locator("#mistakes canvas").first.get_attribute("aria-label")
    assert (
        first
        == f"Sample {wrong[0] + 1}, a {DIGITS.targets[wrong[0]].argmax()} taken for a {outputs[wrong[0]].argmax()}"
    )
    assert digits.page.get_attribute("#hidden-units", "aria-label").startswith("The weights into each of 32 units")
    digits.page.fill("#take", "5")
    shares = digits.page.locator("#guesses span:last-child").all_inner_texts()
    assert shares == [f"{v:.2f}" for v in outputs[4]]
    digits.page.fill("#take", "0")
    assert digits.page.inner_text("#wrong-take") == "The sample must be between 1 and 1,797."
    assert digits.page.inner_text("#guess") == "Draw a digit."
    # with the keyboard: down, draw, up
    digits.page.click("#clear")
    assert digits.page.inner_text("#guess") == "Draw a digit."
    digits.page.focus("#pad")
    digits.page.keyboard.press(" ")
    for _ in range(12):
        digits.page.keyboard.press("ArrowDown")
    assert digits.page.inner_text("#guess").startswith("It is a ")
    # with the mouse
    box = digits.page.locator("#pad").bounding_box()
    digits.page.click("#clear")
    digits.page.mouse.move(box["x"] + 100, box["y"] + 30)
    digits.page.mouse.down()
    digits.page.mouse.move(box["x"] + 100, box["y"] + 170, steps=4)
    digits.page.mouse.up()
    assert digits.page.inner_text("#guess").startswith("It is a ")
    digits.page.click('[data-try="end"]')
    assert digits.update() == 20
    assert "Sample 1, digit 0, update 20: 1.0000 − " in digits.page.inner_text('[data-lesson="error"] .now-line')
    assert digits.page.inner_text("#replay .unit-row h3") == "Inside digit 0"
    assert "of 8 of 1,797 samples, where the target is 1" in digits.page.inner_text("#iterations")


@pytest.mark.slow
def test_a_page_stays_under_three_megabytes(digits: Any, folder: Path) -> None:
    """All but the recording as it is, and the recording as large as it may be."""
    html = (folder / "digits.html").read_text()
    found = re.search(r'id="data">(.*?)</script>', html, flags=re.S)
    assert found
    recorded = len(json.dumps(json.loads(found[1])["replay"], separators=(",", ":")))
    assert len(html.encode()) - recorded + 1.2 * recording.MOST_BYTES < 3e6


@pytest.mark.slow
@pytest.mark.needs("axe_playwright_python")
@pytest.mark.parametrize(
    ("width", "scheme"), at_length([*product([390, 1280], ["light", "dark"])], short=[(390, "light"), (1280, "dark")])
)
def test_axe_finds_no_violation_on_a_page_that_is(tab: Any, scheme: str, width: int) -> None:
    tab.page.set_viewport_size({"width": width, "height": 900})
    assert violations(tab, scheme) == []
    tab.page.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.slow
@pytest.mark.needs("axe_playwright_python")
@pytest.mark.parametrize("scheme", at_length(["light", "dark"], short=["light"]))
def test_axe_finds_no_violation_among_the_digits_in(digits: Any, scheme: str) -> None:
    assert violations(digits, scheme) == []


def violations(tab: Any, scheme: str) -> list[str]:
    from axe_playwright_python.base import AXE_FILE_PATH

    tab.page.emulate_media(color_scheme=scheme)
    tab.page.locator(f'html[data-theme="{scheme}"]').wait_for()
    tab.page.evaluate(Path(AXE_FILE_PATH).read_text())
    found = tab.page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
    tab.page.emulate_media(color_scheme="light")
    return [f"{v['id']}: {node['target']} {node['failureSummary']}" for v in found for node in v["nodes"]]


def test_motion_is_kept_still_for_who_asks_for_it(tab: Any) -> None:
    """The tests' browser asks for it: while it trains, nothing is drawn anew."""
    run(tab)
    before = tab.page.get_attribute("#error-curve", "aria-label")
    tab.page.fill("#updates", "10000000")
    tab.page.click("#train")
    tab.page.locator("#lab-status", has_text=re.compile(r"Training: [1-9]")).wait_for()
    assert tab.page.get_attribute("#error-curve", "aria-label") == before
    tab.page.click("#stop")
    settled(tab)
