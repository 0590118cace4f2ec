"""A user's own data become a problem; the digits are real; first weights depend on the seed alone."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from equigrad import cli, load_data, problem
from equigrad.common.errors import UsageError

INPUTS = [[0.0, 1.5], [-2.0, 3e-5], [4.0, 1e3]]
TARGETS = [[0.0], [1.0], [0.5]]
ROWS = "0,1.5,0\n-2,3e-5,1\n4,1e3,.5\n"


@pytest.mark.parametrize(
    ("content", "target"),
    [
        ("a,b,y\n" + ROWS, "y"),
        ("a,b,y\n" + ROWS, "3"),
        (ROWS, "3"),
        ("\ufeffy,a,b\n0,0,1.5\n1,-2,3e-5\n.5,4,1e3\n", "y"),
        ("a,y,b\n0,0,1.5\n-2,1,3e-5\n4,.5,1e3\n", "y"),
        ("a,b,y\r\n" + ROWS.replace("\n", "\r\n"), "y"),
        ("\na , b, y\n\n" + ROWS.replace(",", " , ") + "\n\n", "y"),
        ('"a","the b, no less",y\n' + ROWS, "y"),
        ("größe,b,y\n" + ROWS, "y"),
        ("a; cm,b,y\n" + ROWS, "y"),
        (ROWS.replace("-", "\N{MINUS SIGN}"), "3"),
        ("1,2,3\n" + ROWS.replace("0,1.5,0\n", "", 1), "3"),
    ],
    ids=[
        "a header and a name",
        "a header and a number",
        "no header",
        "a byte order mark",
        "the target in the middle",
        "Windows line ends",
        "blanks and blank lines",
        "quotes",
        "letters beyond ASCII",
        "a semicolon in a name",
        "typeset minus signs",
        "numbers in the first line, which are data",
    ],
)
def test_a_csv_is_read_with(content: str, target: str, tmp_path: Path) -> None:
    file = tmp_path / "data.csv"
    file.write_text(content, encoding="utf-8", newline="")
    p = load_data(file, target=[target])
    if content.startswith("1,2,3"):
        assert p.inputs.tolist() == [[1.0, 2.0], *INPUTS[1:]]
        assert p.targets.tolist() == [[3.0], *TARGETS[1:]]
    else:
        assert p.inputs.tolist() == INPUTS
        assert p.targets.tolist() == TARGETS
    assert p.inputs.dtype == p.targets.dtype == np.float64
    assert (p.name, p.layers, p.updates, p.seed, p.figures) == ("data.csv", (2, 1), 1000, 1, ())


def test_several_targets_keep_the_order_in_which_they_were_named(tmp_path: Path) -> None:
    (tmp_path / "d.CSV").write_text("a,b,c,d\n1,2,3,4\n5,6,7,8\n")
    p = load_data(tmp_path / "d.CSV", target=["d", "2"], hidden=[5, 3])
    assert p.inputs.tolist() == [[1, 3], [5, 7]]
    assert p.targets.tolist() == [[4, 2], [8, 6]]
    assert p.layers == (2, 5, 3, 2)
    assert p.shapes == [(2, 5), (5, 3), (3, 2)]


@pytest.mark.parametrize("targets", [np.array([0.0, 1, 0.5]), np.array([[0.0], [1], [0.5]])], ids=["1-d", "2-d"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "uint8", "bool", ">f8"])
def test_an_archive_is_read_with_targets(targets: np.ndarray, dtype: str, tmp_path: Path) -> None:
    inputs = np.array([[0, 1], [1, 1], [1, 0]]).astype(dtype)
    np.savez(tmp_path / "d.npz", inputs=np.asfortranarray(inputs), targets=targets, notes=np.array(["more"]))
    p = load_data(tmp_path / "d.npz", hidden=[4])
    assert p.inputs.tolist() == [[0, 1], [1, 1], [1, 0]]
    assert p.targets.tolist() == TARGETS
    assert p.inputs.dtype == np.float64
    assert p.layers == (2, 4, 1)


@pytest.mark.parametrize(("samples", "rate"), [(1, 1), (4, 1), (5, 0.5), (8, 0.5), (9, 0.25), (1000, 2**-8)])
def test_the_learning_rate_is_the_power_of_two_at_or_below_4_over_samples_unless_given(
    samples: int, rate: float, tmp_path: Path
) -> None:
    np.savez(tmp_path / "d.npz", inputs=np.ones((samples, 2)), targets=np.ones(samples))
    assert load_data(tmp_path / "d.npz").learning_rate == rate
    assert load_data(tmp_path / "d.npz", learning_rate=0.1).learning_rate == 0.1


def test_the_command_line_trains_on_a_file_with_every_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "xor.csv").write_text("a,b,one,y\n0,0,1,0\n0,1,1,1\n1,0,1,1\n1,1,1,0\n")
    monkeypatch.chdir(tmp_path)
    options = "--data xor.csv --target y --hidden 4 --updates 60000 --learning-rate 1 --seed 1 --predict 1,0,1"
    monkeypatch.setattr(sys, "argv", ["equigrad", "compare", *options.split(), "-b", "numpy", "--arithmetic", "native"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, err = capsys.readouterr()
    assert (end.value.code, err) == (0, "")
    assert "xor.csv: 3 -> 4 -> 1, 4 samples, 60,000 updates, learning rate 1, float64" in out
    (prediction,) = (line.split("│")[2] for line in out.splitlines() if line.startswith("│ 1 0 1"))
    assert float(prediction) > 0.99


def test_the_digits_are_1797_rows_of_64_pixels_and_their_classes() -> None:
    p = problem("digits")
    assert p.inputs.shape == (1797, 64)
    assert p.targets.shape == (1797, 10)
    assert p.layers == (64, 32, 10)
    assert (p.inputs.min(), p.inputs.max()) == (0, 1)
    assert (p.inputs * 16 == np.rint(p.inputs * 16)).all()
    assert (np.sort(p.targets, axis=1) == [0] * 9 + [1]).all()
    assert p.targets.sum(axis=0).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


@pytest.mark.slow
@pytest.mark.needs("sklearn")
def test_the_digits_are_those_that_scikit_learn_ships() -> None:
    from sklearn.datasets import load_digits

    theirs, p = load_digits(), problem("digits")
    assert (p.inputs * 16 == theirs.data).all()
    assert (p.targets.argmax(axis=1) == theirs.target).all()


def test_first_weights_are_those_of_the_seed() -> None:
    first = problem("one-layer").first_weights()[0].ravel()
    assert first.round(8).tolist() == [-0.16595599, 0.44064899, -0.99977125]
    np.random.seed(1)
    expected = [2 * np.random.random(shape) - 1 for shape in ((3, 4), (4, 1))]
    for w, e in zip(problem("two-layer").first_weights(), expected, strict=True):
        assert w.tobytes() == e.tobytes()


def test_first_weights_depend_on_the_seed_and_on_nothing_else() -> None:
    p = problem("two-layer")
    np.random.seed(7)
    same = p.with_(updates=3, learning_rate=0.1).first_weights()
    other = p.with_(seed=2).first_weights()
    for w, s, o, narrow in zip(p.first_weights(), same, other, p.first_weights("float32"), strict=True):
        assert w.tobytes() == s.tobytes()
        assert not (w == o).any()
        assert narrow.tobytes() == w.astype(np.float32).tobytes()


def test_published_figures_stay_only_where_they_apply() -> None:
    p = problem("two-layer")
    assert p.with_(updates=5, learning_rate=1.0, seed=1).figures == p.figures
    assert p.with_(learning_rate=0.5).figures == ()
    assert p.with_(seed=2).figures == ()


def test_two_columns_of_one_name_are_refused_even_where_neither_is_the_target(tmp_path: Path) -> None:
    file = tmp_path / "twice.csv"
    file.write_text("a,a,y\n1,2,3\n4,5,6\n")
    with pytest.raises(UsageError, match="2 columns named 'a': give each a name of its own"):
        load_data(file, target=["y"])
