"""The page in a real browser: what it shows is what a run holds, and every control does what it says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import equigrad
from equigrad.backends.interface import Backend
from equigrad.common.files import write_json
from equigrad.common.problem import problem as built_in
from equigrad.common.ulp import ulp_distance
from equigrad.diverge.result import Trace
from length import at_length

BACKENDS = ("numpy", "torch", "jax")
TASK = built_in("two-layer").with_(updates=300)
pytestmark = pytest.mark.slow  # a page of all three frameworks; test_lab_browser opens one of NumPy alone


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two-layer network in every framework that is here."""
    out = tmp_path_factory.mktemp("report") / "report.html"
    assert equigrad.report(TASK, out=out).agreed
    return out


@pytest.fixture(scope="module")
def window(open_tab: Any, written: Path) -> Iterator[Any]:
    tab = open_tab(written)
    yield tab
    tab.close()


@pytest.fixture
def tab(window: Any) -> Any:
    """The page as it opens: what it shows, with nothing chosen, focused or under the mouse."""
    window.page.mouse.move(0, 0)
    window.page.evaluate(
        "document.activeElement.blur(); scrollTo(0, 0); document.querySelector('.step[data-step=predict]').click();"
        " Object.assign(replay.state, { backend: null, arithmetic: 'native', dtype: null }); replay.show(REPLAY)"
    )
    return window


def number(text: str) -> float:
    return float(text.replace("−", "-"))


@pytest.fixture(scope="module")
def traced() -> Callable[[str, str], Trace]:
    return cache(
        lambda dtype, arithmetic: equigrad.trace(TASK, BACKENDS, updates=5, dtype=dtype, arithmetic=arithmetic)
    )


@pytest.mark.parametrize("arithmetic", ["native", "reproducible"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_page_shows_the_bits_of_the_run(
    tab: Any, ready: Callable[..., Backend], traced: Any, dtype: str, arithmetic: str
) -> None:
    for name in BACKENDS:
        ready(name)
    trace = traced(dtype, arithmetic)
    tab.choose("dtype", dtype)
    tab.choose("arithmetic", arithmetic)
    quantities = {
        "predict": ["preactivation", "activation"],
        "error": ["error"],
        "delta": ["delta"],
        "update": ["change"],
    }
    lines = {(v.update, v.layer, v.quantity): v for v in trace.lines}
    # two places that are always there, and one where the frameworks part, if they do
    apart = (
        (update, layer, int(np.argwhere(line.values[0] != line.values[side])[0, 1]))
        for (update, layer, quantity), line in lines.items()
        for side in (1, 2)
        if quantity != "weight" and line.differing[side]
    )
    for update, layer, unit in [(1, 1, 2), (4, 2, 0), *islice(apart, 1)]:
        tab.choose("unit", f"{layer}.{unit}")
        tab.page.locator("#slider").fill(str(update - 1))
        assert tab.update() == update
        for step, names in quantities.items():
            tab.page.click(f'.step[data-step="{step}"]')
            live = tab.live()
            for name in names:
                line = lines[update, layer, name]
                for side, backend in enumerate(BACKENDS):
                    shown = np.array(live[backend, name], dtype)
                    assert shown.tobytes() == line.values[side][:, unit].tobytes(), (backend, update, name)


def test_the_framework_switch_shows_that_frameworks_numbers_and_marks_what_differs(
    tab: Any, ready: Callable[..., Backend], traced: Any
) -> None:
    for name in BACKENDS:
        ready(name)
    trace = traced("float32", "native")
    tab.choose("dtype", "float32")
    tab.page.locator("#slider").fill("4")
    line = next(v for v in trace.lines if (v.update, v.layer, v.quantity) == (5, 2, "delta"))
    apart = (line.values[0] != line.values[1]) | (line.values[0] != line.values[2])
    for side, backend in enumerate(BACKENDS):
        tab.choose("framework", backend)
        expected = [f"{v:.8f}".replace("-", "−") for v in line.values[side][:, 0]]
        assert tab.numbers("delta") == expected
        cells = tab.page.locator('.num[data-quantity="delta"]')
        assert cells.evaluate_all("all => all.map(c => c.classList.contains('apart'))") == apart[:, 0].tolist()


def test_a_number_is_shown_in_every_framework_to_the_last_bit(
    tab: Any, ready: Callable[..., Backend], traced: Any
) -> None:
    for name in BACKENDS:
        ready(name)
    line = next(
        v for v in traced("float32", "native").lines if v.update == 5 and v.layer == 2 and v.quantity == "preactivation"
    )
    tab.choose("dtype", "float32")
    tab.page.locator("#slider").fill("4")
    tab.page.click('.num[data-quantity="preactivation"][data-row="1"]')
    for side, backend in enumerate(BACKENDS):
        row = tab.page.locator(f'#bits tr[data-backend="{backend}"]')
        value = line.values[side][1, 0]
        assert np.float32(number(row.locator(".exact").inner_text())) == value
        assert row.locator("code").inner_text() == f"{value.view(np.uint32):08x}"
        if side:
            ulp = int(ulp_distance(line.values[side], line.values[0])[1, 0])
            assert row.locator("td").last.inner_text() == f"{ulp} ULP"


def test_words_are_explained_at_their_first_use_and_brackets_where_they_are(
    tab: Any, ready: Callable[..., Backend]
) -> None:
    ready("torch")
    words = [word.inner_text() for word in tab.page.locator("#words b").all()]
    assert words == ["native", "reproducible", "ULP", "published"]
    assert tab.page.inner_text(".divergences .note").startswith("Row and column in brackets, counted from 0.")
    assert "preactivation" not in tab.page.inner_text("main")


def test_step_buttons_arrow_keys_and_slider_move_through_the_updates(tab: Any) -> None:
    page = tab.page
    assert tab.update() == 1
    page.click("#forward")
    page.click("#forward")
    assert tab.update() == 3
    page.click("#back")
    assert tab.update() == 2
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert tab.update() == 4
    page.keyboard.press("ArrowLeft")
    assert tab.update() == 3
    page.focus("#slider")
    page.keyboard.press("ArrowRight")
    assert tab.update() == 4
    page.click("#last")
    assert tab.update() == TASK.updates
    page.click("#forward")
    assert tab.update() == TASK.updates
    page.click("#first")
    assert tab.update() == 1
    page.keyboard.press("ArrowLeft")
    assert tab.update() == 1


def test_play_runs_by_itself_and_stops_when_asked(tab: Any) -> None:
    tab.page.click("#play")
    assert tab.page.get_attribute("#play", "aria-pressed") == "true"
    from playwright.sync_api import expect

    expect(tab.page.locator("#now")).to_have_text(
        re.compile("[3-9]|..+")
    )  # the page's policy allows no script of the test's own
    tab.page.click("#play")
    stopped = tab.update()
    tab.page.wait_for_timeout(500)
    assert tab.update() == stopped


def test_the_sigmoid_has_each_sample_at_its_pre_activation_with_its_slope(tab: Any, traced: Any) -> None:
    """Read back from the drawing: the points through the page's own axis, the slope from the label."""
    trace = equigrad.trace(TASK, ["numpy"], updates=1)
    z, a = (
        next(v for v in trace.lines if v.layer == 2 and v.quantity == q).values[0]
        for q in ("preactivation", "activation")
    )
    points = tab.page.locator("#sigmoid .point").evaluate_all(
        "all => all.map((p) => ['data-sample', 'cx', 'cy'].map((name) => Number(p.getAttribute(name))))"
    )
    at = {sample: (x, y) for sample, x, y in points}
    assert len(at) == 4
    order = sorted(at, key=lambda k: at[k][0])
    assert order == np.argsort(z[:, 0]).tolist()
    xs, ys = np.array([at[k][0] for k in range(4)]), np.array([at[k][1] for k in range(4)])
    per_z, per_a = np.polyfit(z[:, 0], xs, 1), np.polyfit(a[:, 0], ys, 1)
    np.testing.assert_allclose(np.polyval(per_z, z[:, 0]), xs, atol=1e-6)
    np.testing.assert_allclose(np.polyval(per_a, a[:, 0]), ys, atol=1e-6)
    tangent = tab.page.locator('#sigmoid .tangent[data-sample="0"]')
    x1, x2, y1, y2 = (float(tangent.get_attribute(name)) for name in ("x1", "x2", "y1", "y2"))
    slope = ((y2 - y1) / per_a[0]) / ((x2 - x1) / per_z[0])
    assert slope == pytest.approx(a[0, 0] * (1 - a[0, 0]))
    assert tab.page.text_content("#slope") == f"slope = {a[0, 0] * (1 - a[0, 0]):.8f}"


def test_the_network_shows_the_weights_into_the_chosen_unit(tab: Any) -> None:
    first = TASK.first_weights()
    labels = tab.page.locator("#network [data-weight]").all_text_contents()
    assert [number(t.removeprefix("≠ ")) for t in labels] == [round(float(v), 4) for v in first[1][:, 0]]
    tab.page.locator("#network .node").nth(4).click()
    assert "hidden unit 2" in tab.page.inner_text(".unit-row h3")
    labels = tab.page.locator("#network [data-weight]").all_text_contents()
    assert [number(t.removeprefix("≠ ")) for t in labels] == [round(float(v), 4) for v in first[0][:, 1]]


@pytest.mark.parametrize("step", ["predict", "error", "delta", "update"])
@pytest.mark.parametrize("how", ["hover", "focus"])
def test_pointing_at_a_step_lights_its_lines_in_all_columns(
    tab: Any, ready: Callable[..., Backend], step: str, how: str
) -> None:
    for name in BACKENDS:
        ready(name)
    getattr(tab.page, how)(f'.step[data-step="{step}"]')
    for backend in BACKENDS:
        article = tab.page.locator(f'article[data-backend="{backend}"]')
        lit = article.locator(".line.on").evaluate_all("all => all.map(line => line.dataset.steps)")
        assert lit
        assert all(step in steps for steps in lit)
        assert article.locator(".live").inner_text().startswith(step)


def test_every_chart_is_drawn_in_both_themes(window: Any) -> None:
    page = window.page
    page.emulate_media(color_scheme="dark")
    window.load()
    assert page.get_attribute("html", "data-theme") == "dark"
    charts = ["chart-ulp", "chart-abs", "chart-curve", "chart-outputs", "chart-errors"]
    for theme in ("dark", "light"):
        for chart in charts:
            page.locator(f"#{chart}").scroll_into_view_if_needed()
            page.wait_for_selector(f"#{chart} .main-svg")
            assert page.get_attribute(f"#{chart}", "aria-label")
        if theme == "dark":
            page.click("#theme")
            assert page.get_attribute("html", "data-theme") == "light"
    page.emulate_media(color_scheme="light")


def test_timings_and_what_names_hold_are_shown_as_text(open_tab: Any, timed: Path, tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>"
    text = timed.read_text().replace('"jax reproducible"', f'"jax {evil}"').replace("one-layer", f"mine {evil}")
    (tmp_path / "bench.json").write_text(text)
    out = tmp_path / "report.html"
    equigrad.report(results=[tmp_path / "bench.json"], out=out)
    tab = open_tab(out)
    tab.page.locator("#chart-timings").scroll_into_view_if_needed()
    tab.page.wait_for_selector("#chart-timings .main-svg")
    assert evil in str(tab.page.get_attribute("#chart-timings", "aria-label"))
    assert evil in str(tab.page.text_content("#timing"))
    assert tab.page.query_selector("img") is None
    tab.close()


def test_results_of_data_that_is_not_here_are_shown_without_a_replay(open_tab: Any, tmp_path: Path) -> None:
    mine = replace(built_in("one-layer").with_(updates=30), name="mine.csv")
    write_json(tmp_path / "diverge.json", equigrad.diverge(mine, ["numpy"], dtype=["float64", "float32"]).to_json())
    write_json(tmp_path / "check.json", equigrad.check(mine, ["numpy"], curve=True).to_json())
    out = tmp_path / "report.html"
    equigrad.report(results=[tmp_path / "diverge.json", tmp_path / "check.json"], out=out)
    tab = open_tab(out)
    assert tab.page.query_selector("#replay") is None
    for chart in ("chart-ulp", "chart-curve"):
        tab.page.locator(f"#{chart}").scroll_into_view_if_needed()
        tab.page.wait_for_selector(f"#{chart} .main-svg")
    assert "float64 / float32" in tab.page.inner_text("#divergence-legend")
    tab.close()


@pytest.mark.parametrize("width", at_length([390, 768, 1280], short=[390, 1280]))
def test_nothing_sticks_out_of_a_window_of_width(window: Any, width: int) -> None:
    page = window.page
    page.set_viewport_size({"width": width, "height": 844})
    window.load()
    for chart in ("chart-ulp", "chart-errors"):
        page.locator(f"#{chart}").scroll_into_view_if_needed()
        page.wait_for_selector(f"#{chart} .main-svg")
    page.evaluate("document.querySelector('.eyebrow b').textContent = 'n'.repeat(200) + '.csv'")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert "local" in page.evaluate("getComputedStyle(document.querySelector('#samples').parentElement).background")
    page.set_viewport_size({"width": 1280, "height": 900})


def test_every_control_has_a_name_and_can_be_reached_by_tab(tab: Any) -> None:
    tab.load()  # Tab starts at the top
    unnamed = tab.page.evaluate(
        "[...document.querySelectorAll('button, input, select, [role=img], [role=region]')].filter((e) =>"
        " !e.closest('.main-svg') && !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).length"
    )
    assert unnamed == 0
    tab.page.evaluate(
        "reached = new Set(); addEventListener('focusin', ({ target }) => reached.add(target.id || target.name))"
    )
    for _ in range(90):
        tab.page.keyboard.press("Tab")
    reached = set(tab.page.evaluate("[...reached]"))
    assert {
        *("add-row", "updates", "rate", "hidden", "seed", "precision", "train", "reset"),
        *("across", "up", "unseen", "any-z", "goto"),
        "theme",
        "framework",
        "arithmetic",
        "dtype",
        "first",
        "back",
        "play",
        "forward",
        "last",
        "slider",
        "unit",
    } <= reached
