"""docs/crosscheck.md does what it says: the port, its two mistakes, and what the command prints."""

from __future__ import annotations

import json
import re
import sys
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from equigrad import cli
from equigrad.common.errors import MissingError, UsageError
from equigrad.crosscheck.crosschecks import crosscheck
from equigrad.crosscheck.loading import from_files
from length import at_length

pytest.importorskip("torch")
pytest.importorskip("jax")
PAGE = (Path(__file__).parents[2] / "docs" / "crosscheck.md").read_text(encoding="utf-8")
BY_HAND, BY_HAND_DATA, MODEL, PORT, DATA, CALL = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
COMMAND = next(line for line in PAGE.splitlines() if line.startswith("$ equigrad") and "port.py" in line).split()[2:]
FIRST, SECOND, THIRD = re.findall(r"```text\n(.*?)```", PAGE, flags=re.S)
MENDED = PORT.replace("(jnp.sqrt(var) + 1e-5)", "jnp.sqrt(var + 1e-5)")
RIGHT = MENDED.replace("linear(first, x))", "linear(first, x), approximate=False)")


def run(folder: Path, port: str, monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("model.py").write_text(MODEL)
    Path("port.py").write_text(port)
    exec(DATA, {})
    monkeypatch.setattr(sys, "argv", ["equigrad", *COMMAND, *more])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


def words(text: str) -> str:
    return " ".join(text.split())


def text(html: str) -> str:
    return unescape(re.sub("<[^>]+>", " ", html))


STEPS = {"as it is": (PORT, FIRST), "with one mistake": (MENDED, SECOND), "right": (RIGHT, THIRD)}


@pytest.mark.slow
@pytest.mark.parametrize("step", at_length(list(STEPS), short=["as it is", "right"]))
def test_the_port_is_fixed_line_by_line(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port, shown = STEPS[step]
    right = step == "right"
    assert run(tmp_path / "here", port, monkeypatch, "--json", "out.json") == (0 if right else 1)
    assert words(shown) in words(capsys.readouterr().out)
    found = json.loads((tmp_path / "here" / "out.json").read_text())
    assert found["agreed"] is right
    assert (found["schema"], found["kind"]) == (1, "crosscheck")
    assert "parameters['qkv']['kernel'] is qkv.weight transposed, by name and shape" in found["matches"]
    for key in found:
        assert f"`{key}`" in PAGE, key
    for part in (*found["functions"], *found["functions"][0]["leaves"], *filter(None, [found["parting"]])):
        assert all(f"`{key}`" in PAGE or f".{key}`" in PAGE for key in part)


@pytest.mark.slow
def test_the_call_from_python_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port, shown = STEPS[at_length("as it is", short="right")]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"x": np.random.default_rng(0).standard_normal((2, 5, 8))}
    for name, source in (("model.py", MODEL), ("port.py", port)):
        Path(name).write_text(source)
        exec(compile(source, str(tmp_path / name), "exec"), names)
    exec(CALL, names)
    result = names["result"]
    assert words(result.verdict) == words(shown)
    assert words(shown) in words(text(result._repr_html_()))


@pytest.mark.parametrize(
    ("functions", "inputs", "said"),
    [
        (["nobody.py:f"], None, "no such file: 'nobody.py'"),
        (["f"], None, "'f': write FILE.py:NAME"),
        (["one.py:g"], None, "has no 'g': known are number, f"),
        (["one.py:number"], None, "is an int - expected a function"),
        (["one.py:f", "one.py:f"], None, "two functions for numpy"),
        (["jaxx=one.py:f"], None, "unknown framework 'jaxx': did you mean 'jax'?"),
        (["ends.py:f"], None, "'ends.py' cannot be imported: SystemExit: 3"),
        (["both.py:f"], None, "imports torch and jax: write torch=both.py:f or jax=both.py:f"),
        (["one.py:f"], "nobody.npz", "'nobody.npz' cannot be read: No such file"),
        (["one.py:f"], "one.py", "is not a NumPy archive"),
        (["one.py:f"], "pickled.npz", "it holds pickled objects, which are never loaded"),
        (["one.py:f"], "huge.npz", "GB of memory"),
    ],
    ids=[
        "no file", "no name", "another name", "no function", "two for one framework", "a mistyped framework",
        "a file that ends the process", "a file of both frameworks", "no inputs", "inputs that are no archive",
        "pickled objects", "more than memory holds",
    ],
)  # fmt: skip
def test_files_that_cannot_be_used_are_refused_in_one_line(
    functions: list[str], inputs: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("one.py").write_text("number = 3\ndef f(x):\n    return x.sum()\n")
    Path("ends.py").write_text("import sys\nsys.exit(3)\n")
    Path("both.py").write_text("import torch, jax\ndef f(x):\n    return x.sum()\n")
    np.savez("pickled.npz", x=np.array([{}], object))
    np.savez_compressed("huge.npz", x=np.zeros(1_000_000))
    if "memory" in said:
        monkeypatch.setattr("equigrad.common.archive.free_memory", lambda: 1_000_000)
    with pytest.raises(UsageError) as caught:
        from_files(functions, inputs)
    assert said in str(caught.value)


def test_a_gradient_by_hand_goes_with_the_numpy_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = next(line for line in PAGE.splitlines() if "--gradient" in line).split()[1:]
    exec(BY_HAND_DATA, {"np": np})
    for i, (source, status) in enumerate(((BY_HAND, 0), (BY_HAND.replace("2 * t", "t"), 1))):
        Path(f"{i}").mkdir()
        Path(f"{i}/model.py").write_text(source)
        monkeypatch.setattr(sys, "argv", [word.replace("model.py", f"{i}/model.py") for word in command])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == status
    (line,) = re.findall(r"`(numpy, inputs.*?)`", PAGE)
    assert line in capsys.readouterr().out.splitlines()
    with pytest.raises(UsageError, match="--gradient is the gradient of a NumPy function"):
        from_files(["torch=0/model.py:f"], "data.npz", gradient="0/model.py:df")


def test_one_array_is_given_by_itself_or_in_its_dictionary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("one.py").write_text("def f(x):\n    return x.sum()\ndef g(p):\n    return p['x'].sum()\n")
    np.savez("data.npz", x=np.ones(2))
    assert from_files(["one.py:f"], "data.npz")["inputs"].shape == (2,)
    assert list(from_files(["one.py:g"], "data.npz")["inputs"]) == ["x"]


def test_a_file_with_an_equals_sign_in_its_name_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a=b.py").write_text("def f(x):\n    return x.sum()\n")
    np.savez("data.npz", x=np.ones(2))
    assert from_files(["a=b.py:f"], "data.npz")["numpy"](np.ones(2)) == 2
    assert "jax" in from_files(["jax=a=b.py:f"], "data.npz")


def test_each_file_imports_what_stands_beside_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Also when it is called, and also where two folders have files of one name."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    for folder, scale in (("one", 2.0), ("other", 3.0)):
        (tmp_path / folder / "net").mkdir(parents=True)
        (tmp_path / folder / "beside.py").write_text(f"SCALE = {scale}\n")
        (tmp_path / folder / "net" / "more.py").write_text("from beside import SCALE\n")
        (tmp_path / folder / f"only_{folder}.py").write_text("ZERO = 0\n")
        (tmp_path / folder / "f.py").write_text(
            f"from net.more import SCALE\ndef f(x):\n    from only_{folder} import ZERO\n    return SCALE * x + ZERO\n"
        )
    found = [from_files([f"{tmp_path}/{folder}/f.py:f"], None)["numpy"](1.0) for folder in ("one", "other", "one")]
    assert found == [2.0, 3.0, 2.0]


def test_a_framework_that_a_file_needs_is_missing_and_its_command_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "needs.py").write_text("import torch\nf = torch.sum\n")
    with pytest.raises(MissingError, match=r"torch is not installed: pip install 'equigrad\[torch\]'"):
        from_files([f"{tmp_path}/needs.py:f"], None)


def test_gradients_may_be_returned_in_the_order_of_the_arguments() -> None:
    x, w, n = np.array([[0.3, -0.5]]), np.array([[0.2], [0.7]]), np.array([3])

    def f(w: Any, n: Any, x: Any) -> Any:
        return float(n[0]) * ((x @ w) ** 2).sum()

    def df(w: Any, n: Any, x: Any) -> Any:
        return n[0] * 2 * x.T @ (x @ w), n[0] * 2 * (x @ w) @ w.T

    assert crosscheck(numpy=(f, df), inputs={"x": x, "w": w, "n": n}).agreed
    assert not crosscheck(numpy=(f, lambda w, n, x: df(w, n, x)[::-1]), inputs={"x": x, "w": w, "n": n}).agreed
