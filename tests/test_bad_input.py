"""Bad input gets one line that says what to do, status 2 or 3, never a traceback, and nothing half written."""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from equigrad import cli
from equigrad.compare import comparison

CSV = "a,b,y\n0,1,0\n1,0,1\n"


class Payload:
    """Unpickled, it creates a file."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, ("unpickled",)


def npz(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: np.asarray(array) for name, array in arrays.items()})  # type: ignore[arg-type]
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


X, Y = np.eye(4, 3), np.ones((4, 1))
GOOD_NPZ = npz(inputs=X, targets=Y)
VAST = b"\x93NUMPY\x01\x00v\x00{'descr':'<f8','fortran_order':False,'shape':(10000000000,3)}".ljust(128)
"""What the head of an array of 240 GB looks like."""
FILES: dict[str, str | bytes] = {
    "good.csv": CSV,
    "good.npz": GOOD_NPZ,
    "good.txt": CSV,
    "empty.csv": "",
    "blank.csv": "\n \n,,\n",
    "header.csv": "a,b,y\n",
    "ragged.csv": CSV + "1,1\n",
    "words.csv": CSV + "0,one,1\n",
    "hole.csv": CSV + "0,,1\n",
    "nan.csv": CSV + "0,nan,1\n",
    "inf.csv": CSV + "0,1,inf\n",
    "huge.csv": CSV + "0,1e999,1\n",
    "wide.csv": CSV + "0,1e300,1\n",
    "latin.csv": "\xe9,y\n1,0\n".encode("latin-1"),
    "semicolon.csv": "a;b;y\n0;1;0\n",
    "tabs.csv": "a\tb\ty\n0\t1\t0\n",
    "decimals.csv": "0,1;0,2;0\n",
    "mixed.csv": CSV[:6] + "\n0,1;0,2;0\n",
    "comment.csv": "# made by hand\n" + CSV,
    "below.csv": CSV + "\n# made by hand\n",
    "index.csv": ",a,b,y\n0,0,1,0\n1,1,0,1\n",
    "narrow.csv": "y\n0,1\n",
    "twice.csv": "a,y,y\n0,1,0\n",
    "binary.csv": bytes(range(256)),
    "escape.csv": CSV + "0,\x1b[31mred\x07,1\n",
    "long.csv": CSV + "0," + "x" * 100_000 + ",1\n",
    "field.csv": CSV + "0," + "x" * 200_000 + ",1\n",
    "underscore.csv": CSV + "0,1_0,1\n",
    "arabic.csv": CSV + "0,\u0663,1\n",
    "empty.npz": b"",
    "text.npz": CSV,
    "array.npz": npy(X),
    "half.npz": GOOD_NPZ[: len(GOOD_NPZ) // 2],
    "flipped.npz": GOOD_NPZ[:70] + bytes(b ^ 255 for b in GOOD_NPZ[70:80]) + GOOD_NPZ[80:],
    "raw.npz": zipped(inputs=b"no array", targets=b"no array"),
    "lying.npz": zipped(
        **{"inputs.npy": b"\x93NUMPY\x01\x00v\x00{'descr':'<f8','fortran_order':False,'shape':(10**15,)}"}
    ),
    "vast.npz": zipped(
        **{
            "inputs.npy": b"\x93NUMPY\x01\x00v\x00{'descr':'<f8','fortran_order':False,'shape':(10000000000,3)}".ljust(
                128
            )
        }
    ),
    "pickled.npz": npz(inputs=np.array([Payload()], dtype=object), targets=Y),
    "names.npz": npz(x=X, y=Y),
    "inputs.npz": npz(inputs=X),
    "cube.npz": npz(inputs=np.ones((4, 3, 2)), targets=Y),
    "scalar.npz": npz(inputs=np.float64(1), targets=Y),
    "complex.npz": npz(inputs=X + 1j, targets=Y),
    "strings.npz": npz(inputs=np.array([["a"]]), targets=Y),
    "records.npz": npz(inputs=np.zeros(4, "f8,f8"), targets=Y),
    "rows.npz": npz(inputs=X, targets=Y[:3]),
    "none.npz": npz(inputs=X[:0], targets=Y[:0]),
    "columns.npz": npz(inputs=X[:, :0], targets=Y),
    "nan.npz": npz(inputs=X, targets=Y * np.nan),
    "inf.npz": npz(inputs=np.where(X == 1, np.inf, X), targets=Y),
    "raises_on_import.py": "raise RuntimeError('two\\nlines')",
    "exits_on_import.py": "raise SystemExit(0)",
    "leaves_on_import.py": "import os\nos._exit(0)",
    "no_syntax.py": "def def",
    "imports_missing.py": "import no_such_module",
    "mine.py": """
import equigrad.backends.numpy_backend as b
class NoBackend: pass
function = print
class Silent(Exception):
    def __str__(self): raise ValueError
class Unmade(b.NumpyBackend):
    def __init__(self, **chosen): raise Silent
""",
    "read_only.json": "{}",
}

BAD: list[tuple[str, str | list[str], str]] = [
    # the command line itself
    ("an unknown command", "compair", "No such command 'compair'"),
    ("a command that nothing is near", "zzz", "No such command 'zzz'. There are compare, check, diverge"),
    ("an option as a command", "site", "Did you mean 'equigrad report --site'?"),
    ("a number that is not whole", "compare --updates 1e3", "Invalid value for '--updates': '1e3' is not a "),
    (
        "several layers at once",
        "compare --hidden 3,4",
        "Invalid value for '--hidden': '3,4' is not a whole number: give --hidden once",
    ),
    ("a word for a number", "compare --learning-rate x", "Invalid value for '--learning-rate': 'x' is not a "),
    ("an unknown option", "compare --update 5", "No such option"),
    ("an option without its value", "compare --updates", "requires an argument"),
    ("two problems", "compare one-layer two-layer", "two-layer"),
    # problem and backend
    ("an unknown problem, with the nearest", "compare one-layr", "did you mean 'one-layer'?"),
    ("a problem in capitals, with the nearest", "compare DIGITS", "did you mean 'digits'?"),
    ("a problem like no other, with all there are", "compare x", "known are one-layer, two-layer, digits"),
    ("an empty problem name", ["compare", ""], "unknown problem ''"),
    ("a problem name over two lines", ["compare", "one\nlayer"], "unknown problem 'one layer'"),
    ("an unknown backend, with the nearest", "compare -b numpi", "did you mean 'numpy'?"),
    ("an unknown backend like no other", "compare -b nosuch", "unknown backend 'nosuch': known are numpy, torch, jax"),
    ("an unknown backend beside a good one", "compare -b numpy -b pytorch", "did you mean 'torch'?"),
    ("an empty backend name", ["compare", "-b", ""], "unknown backend ''"),
    ("NumPy on a GPU", "compare -b numpy:cuda", "no such device here, only cpu"),
    ("an unknown device", "compare -b numpy:tpu", "no such device here"),
    ("an empty device", "compare -b numpy:", "no such device here"),
    ("a foreign module that is not there", "compare -b nowhere:Net", "No module named 'nowhere'"),
    ("a foreign module that needs another", "compare -b imports_missing:Net", "No module named 'no_such_module'"),
    ("a foreign module that raises", "compare -b raises_on_import:Net", "RuntimeError: two lines"),
    ("a foreign module that exits", "compare -b exits_on_import:Net", "SystemExit"),
    ("a foreign module that ends the process", "compare -b leaves_on_import:Net", "it calls os._exit(0)"),
    ("a foreign module that is no Python", "compare -b no_syntax:Net", "SyntaxError"),
    ("a foreign module given as a path", "compare -b ./mine.py:NoBackend", "not its file: mine:NoBackend"),
    ("a foreign module given as its file", "compare -b mine.py:NoBackend", "not its file: mine:NoBackend"),
    ("a foreign module without a name", "compare -b :NoBackend", "cannot be imported"),
    ("a foreign class that is not there", "compare -b mine:Net", "module mine has no class Net"),
    ("a foreign class that is no Backend", "compare -b mine:NoBackend", "not a subclass of equigrad.Backend"),
    ("a foreign function", "compare -b mine:function", "not a subclass of equigrad.Backend"),
    # numbers
    ("zero updates", "compare --updates 0", "at least 1, not 0"),
    ("negative updates", "compare --updates -5", "at least 1, not -5"),
    ("half an update", "compare --updates 1.5", "Invalid value for '--updates'"),
    ("updates in words", "compare --updates many", "Invalid value for '--updates'"),
    ("no number of updates", ["compare", "--updates", ""], "Invalid value for '--updates'"),
    ("more updates than can be made", "compare --updates 99999999999999999999", "more than any machine can make"),
    ("more updates to trace than can be read", "trace --updates 1000000", "of at most 1,000 updates"),
    ("more updates to watch than can be read", "compare --watch 1000000", "at most 1,000 updates"),
    ("an endless budget", "diverge --budget inf", "finite number of seconds"),
    ("a budget of NaN", "diverge --budget nan", "finite number of seconds"),
    ("updates of 5,000 digits", ["compare", "--updates", "9" * 5000], "Invalid value for '--updates'"),
    ("a learning rate of zero", "compare --learning-rate 0", "positive finite number, not 0.0"),
    ("a negative learning rate", "compare --learning-rate -1", "positive finite number, not -1.0"),
    ("a learning rate of NaN", "compare --learning-rate nan", "positive finite number, not nan"),
    ("an infinite learning rate", "compare --learning-rate inf", "positive finite number, not inf"),
    ("a learning rate beyond float64", "compare --learning-rate 1e999", "positive finite number, not inf"),
    ("a learning rate beyond float32", "compare --learning-rate 1e300 --dtype float32", "not fit into float32"),
    ("a learning rate that float32 makes zero", "compare --learning-rate 1e-60 --dtype float32", "does not fit"),
    ("a learning rate in words", "compare --learning-rate fast", "Invalid value for '--learning-rate'"),
    ("a negative seed", "compare --seed -1", "between 0 and 4294967295, not -1"),
    ("a seed beyond 32 bits", "compare --seed 4294967296", "between 0 and 4294967295"),
    ("an unknown dtype, with the nearest", "compare --dtype float16", "did you mean 'float64' or 'float32'?"),
    ("an unknown arithmetic, with the nearest", "compare --arithmetic reproducable", "did you mean 'reproducible'?"),
    ("watching a negative number of updates", "compare --watch -1", "must not be negative, not -1"),
    ("watching in words", "compare --watch all", "Invalid value for '--watch'"),
    # --predict
    ("a prediction for words", "compare --predict a,b,c", "numbers with commas between"),
    ("a prediction for nothing", ["compare", "--predict", ""], "numbers with commas between"),
    ("a prediction with a comma too many", "compare --predict 0,1,", "numbers with commas between"),
    (
        "a prediction for too few inputs",
        "compare --predict 0,1",
        "for 'one-layer' must have the shape (rows, 3), not (1, 2)",
    ),
    (
        "a prediction for too many inputs",
        "compare --predict 0,1,1,1",
        "for 'one-layer' must have the shape (rows, 3), not (1, 4)",
    ),
    ("a prediction with an underscore", "compare --predict 1_0,1,1", "numbers with commas between"),
    ("predictions of two widths", "compare --predict 0,1,1 --predict 0,1", "every row needs the same number"),
    ("a prediction for NaN", "compare --predict 0,nan,1", "finite numbers"),
    ("a prediction for infinity", "compare --predict 0,1e999,1", "finite numbers"),
    ("a prediction beyond float32", "compare --predict 0,1e300,1 --dtype float32", "not fit into float32"),
    # --json
    ("a JSON file in a folder that is not there", "compare --json nowhere/a.json", "there is no folder 'nowhere'"),
    *(
        (f"standard output as the file of {words}", f"{words} -", "cannot write '-': results go to a file")
        for words in (
            "compare --json",
            "check --json",
            "diverge --json",
            "bench --json",
            "bench --plot",
            "report --out",
        )
    ),
    ("a crosscheck to standard output", "crosscheck a.py:f --json -", "cannot write '-': results go to a file"),
    ("a page that is none", "report --out x.pdf", "the page is written to .html, not to 'x.pdf'"),
    ("a JSON file that is a folder", "compare --json folder", "it is a folder"),
    ("a JSON file without a name", ["compare", "--json", ""], "it is a folder"),
    ("a JSON file inside a file", "compare --json good.csv/a.json", "there is no folder 'good.csv'"),
    ("a JSON file with too long a name", f"compare --json {'a' * 300}.json", "name too long"),
    ("a result with too long a name", f"report {'a' * 300}", "unknown problem 'aaa"),
    ("a site with too long a name", f"report --site {'a' * 300}", "name too long"),
    ("a benchmark with too long a name", f"bench --against {'a' * 300}", "and nothing was saved under that name"),
    ("a function in a file with too long a name", f"crosscheck {'a' * 300}.py:f b.py:g", "no such file"),
    ("a JSON file that is a device", "compare --json /dev/null", "not an ordinary file"),
    ("a JSON file behind a link to itself", "compare --json loop.json", "cannot write 'loop.json'"),
    # --data and what goes with it
    ("a target without data", "compare --target y", "go with --data"),
    ("a hidden layer without data", "compare --hidden 4", "go with --data"),
    ("a problem and data", "compare one-layer --data good.csv --target y", "not both"),
    ("data that are not there", "compare --data nowhere.csv --target y", "no such data file: 'nowhere.csv'"),
    ("data that are a folder", "compare --data folder.csv --target y", "is not a file"),
    ("data with too long a name", f"compare --data {'a' * 300}.csv", "name too long"),
    ("data with another suffix", "compare --data good.txt --target y", "end in .csv or .npz"),
    ("data without a name", ["compare", "--data", ""], "end in .csv or .npz"),
    ("an empty CSV", "compare --data empty.csv --target y", "'empty.csv' is empty"),
    ("a CSV of blank lines", "compare --data blank.csv --target y", "'blank.csv' is empty"),
    ("a CSV with only a header", "compare --data header.csv --target y", "column names but no rows"),
    ("a ragged CSV", "compare --data ragged.csv --target y", "line 4 has 2 columns where 3 are expected"),
    ("a word in a CSV", "compare --data words.csv --target y", "line 4, column 2 is not a number: 'one'"),
    ("a hole in a CSV", "compare --data hole.csv --target y", "line 4, column 2 is not a number: ''"),
    ("NaN in a CSV", "compare --data nan.csv --target y", "row 3 of the inputs holds NaN or inf in column 2"),
    ("infinity in a CSV", "compare --data inf.csv --target y", "row 3 of the targets holds NaN or inf"),
    ("a number beyond float64 in a CSV", "compare --data huge.csv --target y", "row 3 of the inputs holds NaN or inf"),
    ("a number beyond float32 in a CSV", "compare --data wide.csv --target y --dtype float32", "not fit into float32"),
    *(
        (
            f"a CSV with {what}, {name}",
            f"compare --data {name}.csv --target y",
            f"line {line} has {what}: separate columns by commas",
        )
        for what, name, line in (
            ("semicolons", "semicolon", 1),
            ("tabs", "tabs", 1),
            ("semicolons", "decimals", 1),
            ("semicolons", "mixed", 3),
        )
    ),
    ("a comment in a CSV", "compare --data comment.csv --target y", "line 1 begins with '#', but comments are not"),
    ("a comment below in a CSV", "compare --data below.csv --target y", "line 5 begins with '#', but comments are not"),
    ("a CSV with pandas' index", "compare --data index.csv --target y", "column 1 has no name: if it numbers the rows"),
    ("a CSV of one column", "compare --data narrow.csv --target y", "line 2 has 2 columns where 1 is expected"),
    *(
        (f"data as the problem of {words}", f"{words} good.csv", "your own data: --data good.csv --target COLUMN")
        for words in ("compare", "check", "diverge", "trace", "report")
    ),
    (
        "an archive as the problem",
        "compare good.npz",
        "'good.npz' is a file, not a problem; to use your own data: --data good.npz",
    ),
    ("a CSV in Latin-1", "compare --data latin.csv --target y", "is not a CSV text file in UTF-8: save it as UTF-8"),
    ("a CSV of bytes", "compare --data binary.csv --target y", "not a CSV text file"),
    ("terminal codes in a CSV", "compare --data escape.csv --target y", "not a number: '?[31mred?'"),
    ("a very long cell in a CSV", "compare --data long.csv --target y", "not a number: 'xxx"),
    ("a cell beyond Python's limit", "compare --data field.csv --target y", "not a CSV text file"),
    ("a CSV without a target", "compare --data good.csv", "say which column is the target"),
    ("an unknown target, with the nearest", "compare --data good.csv --target yy", "did you mean 'y'?"),
    ("an empty target", ["compare", "--data", "good.csv", "--target", ""], "has no target column ''"),
    ("target column 0", "compare --data good.csv --target 0", "has no target column '0'"),
    ("a target column beyond the last", "compare --data good.csv --target 4", "has no target column '4'"),
    ("a target of 5,000 digits", ["compare", "--data", "good.csv", "--target", "9" * 5000], "has no target column"),
    ("a target in Arabic digits", "compare --data good.csv --target \u0663", "has no target column"),
    ("an underscore in a CSV", "compare --data underscore.csv --target y", "not a number: '1_0'"),
    ("Arabic digits in a CSV", "compare --data arabic.csv --target y", "is not a number"),
    (
        "a hidden layer larger than memory",
        "compare --data good.csv --target y --hidden 1000000000000",
        "this takes at least 80,000.0 GB of memory",
    ),
    ("a target given twice", "compare --data good.csv --target y --target 3", "the same column is a target twice"),
    ("a target name that stands twice", "compare --data twice.csv --target y", "2 columns named 'y'"),
    ("every column a target", "compare --data good.csv --target a --target b --target y", "none is left as an input"),
    (
        "a hidden layer of 0",
        "compare --data good.csv --target y --hidden 0",
        "the size of a hidden layer must be at least 1, not 0",
    ),
    (
        "a hidden layer of -3",
        "compare --data good.csv --target y --hidden -3",
        "the size of a hidden layer must be at least 1, not -3",
    ),
    ("a hidden layer in words", "compare --data good.csv --target y --hidden big", "Invalid value for '--hidden'"),
    ("zero updates on data", "compare --data good.csv --target y --updates 0", "at least 1, not 0"),
    ("a target for an archive", "compare --data good.npz --target y", "--target is for CSV files"),
    ("an empty archive", "compare --data empty.npz", "not a NumPy archive"),
    ("an archive of text", "compare --data text.npz", "not a NumPy archive"),
    ("an archive that is one array", "compare --data array.npz", "not a NumPy archive"),
    ("an archive cut short", "compare --data half.npz", "cut short"),
    ("an archive with flipped bits", "compare --data flipped.npz", "cannot be used"),
    ("an archive of other files", "compare --data raw.npz", "has no array 'inputs'"),
    ("an archive that claims a petabyte", "compare --data lying.npz", "cannot be used"),
    ("an archive larger than memory", "compare --data vast.npz", "this takes at least 240.0 GB of memory"),
    ("an archive with pickled objects", "compare --data pickled.npz", "pickled objects, which are never loaded"),
    ("an archive with other names", "compare --data names.npz", "has no array 'inputs'"),
    ("an archive without targets", "compare --data inputs.npz", "has no array 'targets'"),
    ("an archive with a cube", "compare --data cube.npz", "has shape (4, 3, 2) instead of (samples, columns)"),
    ("an archive with a scalar", "compare --data scalar.npz", "has shape () instead of (samples, columns)"),
    ("an archive of complex numbers", "compare --data complex.npz", "not numeric but complex128"),
    ("an archive of strings", "compare --data strings.npz", "not numeric but <U1"),
    ("an archive of records", "compare --data records.npz", "not numeric but"),
    ("an archive with rows missing", "compare --data rows.npz", "4 rows of inputs but 3 of targets"),
    ("an archive with zero rows", "compare --data none.npz", "has no inputs"),
    ("an archive with zero columns", "compare --data columns.npz", "has no inputs"),
    ("NaN in an archive", "compare --data nan.npz", "row 1 of the targets holds NaN or inf"),
    ("infinity in an archive", "compare --data inf.npz", "row 1 of the inputs holds NaN or inf"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    for name, content in FILES.items():
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    (folder / "folder").mkdir()
    (folder / "folder.csv").mkdir()
    (folder / "loop.json").symlink_to("loop.json")
    return folder


@pytest.fixture
def here(folder: Path, forgetting: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """In `folder`, which the test must leave as it was; nothing may be trained."""
    before = snapshot(folder)
    trained: list[object] = []
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(comparison._Training, "go", trained.append)
    with forgetting(folder):
        yield folder
    assert snapshot(folder) == before, "a file was written"
    assert not trained, "the training had begun"


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): ((s := p.lstat()).st_size, s.st_mtime_ns) for p in folder.rglob("*")}


def complaint(
    arguments: str | list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """Status and standard error of the command line, run in this process; nothing may be on standard output."""
    words = shlex.split(arguments) if isinstance(arguments, str) else arguments
    monkeypatch.setattr(sys, "argv", ["equigrad", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, err = capsys.readouterr()
    assert out == ""
    assert isinstance(end.value.code, int)
    return end.value.code, err


def assert_one_line(err: str, says: str) -> None:
    assert "Traceback" not in err
    assert "[Errno" not in err
    assert len(err.splitlines()) == 1, err
    assert err.startswith("equigrad: ")
    assert says in err
    assert len(err) < 700
    assert err.endswith("\n")
    assert err[:-1].isprintable()


@pytest.mark.parametrize(("arguments", "says"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_one_line_and_status_2_for(
    arguments: str | list[str],
    says: str,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, err = complaint(arguments, monkeypatch, capsys)
    assert_one_line(err, says)
    assert status == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("trace -b mine:Unmade", "mine:Unmade: loading raised Silent"),
        ("diverge -b mine:Unmade -b numpy", "which cannot be printed"),
    ],
    ids=["trace", "diverge"],
)
def test_one_line_and_the_status_of_a_failure_for_a_foreign_class_that_cannot_be_made_in(
    arguments: str, says: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, err = complaint(arguments, monkeypatch, capsys)
    assert_one_line(err, says)
    assert status == 1


@pytest.mark.parametrize(
    ("message", "multiple", "says"),
    [
        ("'--hidden': '3,4' is not a valid integer.", True, "'3,4' is not a whole number: give --hidden once for each"),
        ("'--hidden' (env var: 'None'): '3' is not a valid int.", False, "'3' is not a whole number"),
        ("'--hidden': 'x' is not a valid float.", False, "'x' is not a number"),
    ],
)
def test_older_versions_of_typer_are_put_in_the_same_words(message: str, multiple: bool, says: str) -> None:
    param = SimpleNamespace(opts=["--hidden"], multiple=multiple)
    error = SimpleNamespace(format_message=lambda: f"Invalid value for {message}", __cause__=None, param=param)
    assert cli._usage(error) == f"Invalid value for '--hidden': {says}"


def test_there_are_at_least_sixty_bad_inputs_and_each_is_named_once() -> None:
    assert len({name for name, _, _ in BAD}) == len(BAD) >= 60


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_one_line_and_status_2_for_a_gpu_that_is_not_there(
    framework: str,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ready: Callable[..., object],
) -> None:
    ready(framework)
    from equigrad.backends import backend_class

    monkeypatch.setattr(backend_class(framework)[0], "devices", classmethod(lambda cls: ("cpu",)))
    status, err = complaint(f"compare -b {framework}:cuda", monkeypatch, capsys)
    assert_one_line(err, f"'{framework}:cuda': no such device here, only cpu")
    assert status == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
@pytest.mark.parametrize(
    ("arguments", "says"),
    [("compare --data secret.csv --target y", "'secret.csv'"), ("compare --json read_only.json", "it is read-only")],
    ids=["data that may not be read", "a JSON file that may not be written"],
)
def test_one_line_and_status_2_without_permission_for(
    arguments: str,
    says: str,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (here / "read_only.json").chmod(0o444)
    (here / "secret.csv").touch(0o000)
    try:
        status, err = complaint(arguments, monkeypatch, capsys)
    finally:
        (here / "secret.csv").unlink()
    assert_one_line(err, says)
    assert status == 2


@pytest.mark.slow(but=["an unknown problem"])
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param("compare one-layr", id="an unknown problem"),
        pytest.param("compare --data nan.csv --target y", id="NaN in a CSV"),
        pytest.param("compare --json nowhere/a.json", id="a JSON file in a folder that is not there"),
        pytest.param("compare --data pickled.npz", id="an archive with pickled objects"),
    ],
)
def test_a_real_process_says_the_same_about(arguments: str, here: Path) -> None:
    says = next(says for _, each, says in BAD if each == arguments)
    done = subprocess.run(
        [sys.executable, "-m", "equigrad", *shlex.split(arguments)], capture_output=True, text=True, check=False
    )
    assert_one_line(done.stderr, says)
    assert done.stdout == ""
    assert done.returncode == 2


@pytest.mark.parametrize("arguments", ["bench one-lair", "check --dtype x", "report one-lair", "passport"])
def test_one_line_and_status_2_under_a_launcher_for_all_but_compare(
    arguments: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("PMI_RANK", "0"), ("PMI_SIZE", "2")):
        monkeypatch.setenv(name, value)
    status, err = complaint(arguments, monkeypatch, capsys)
    assert_one_line(err, "only equigrad compare runs on the processes of a launcher")
    assert status == 2


def test_help_is_what_no_arguments_get(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["equigrad"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    out, err = capsys.readouterr()
    assert end.value.code == 0
    assert "Usage: equigrad" in out
    assert err == ""
