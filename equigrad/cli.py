"""The command line. It holds no logic: it reads arguments, calls a public function and prints its result."""

from __future__ import annotations

import inspect
import io
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, get_type_hints

import typer

from . import interrupt

if TYPE_CHECKING:
    from rich.console import RenderableType

    from .common.problem import Problem

app = typer.Typer(
    name="equigrad",
    help="One perceptron with backpropagation in NumPy, PyTorch and JAX, and the proof that they agree.",
    epilog="Exit status: 0 agreement; 1 disagreement, failure or inconclusive; 2 invalid arguments; "
    "3 a named backend is missing.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ProblemName = Annotated[str | None, typer.Argument(help="one-layer (default), two-layer or digits", show_default=False)]
BACKEND = "numpy, torch, torch:cuda, jax, jax:cuda or package.module:Class; repeatable"
BackendNames = Annotated[
    list[str] | None,
    typer.Option("--backend", "-b", help=BACKEND, show_default="all available"),
]
Dtype = Annotated[str, typer.Option(help="float64 or float32")]
Arithmetic = Annotated[str, typer.Option(help="native, reproducible or both")]
Updates = Annotated[int | None, typer.Option(help="number of updates", show_default="the problem's; 1000 with --data")]
LearningRate = Annotated[
    float | None,
    typer.Option(
        help="learning rate",
        show_default="the problem's; with --data the power of two at or below 4 / rows, at most 1",
    ),
]
Seed = Annotated[int | None, typer.Option(help="seed of the first weights", show_default="1")]
Data = Annotated[
    Path | None, typer.Option(help="your own data instead of a problem, .csv or .npz; as a bias add a column of ones")
]
TargetColumns = Annotated[
    list[str] | None, typer.Option(help="target column in the CSV file, by name or number; repeatable")
]
Hidden = Annotated[
    list[int] | None, typer.Option(help="size of a hidden layer, with --data; repeatable", show_default="none")
]
# For `diverge` and `trace`, where each backend may have its own.
Dtypes = Annotated[
    list[str] | None,
    typer.Option("--dtype", help="float64 (default) or float32, for all backends; or once for each, in order"),
]
Arithmetics = Annotated[
    list[str] | None,
    typer.Option("--arithmetic", help="native (default) or reproducible, for all backends; or once for each, in order"),
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="also write the result to this file")]


@dataclass(frozen=True)
class Chosen:
    """What the user said of the problem, in the options that commands share."""

    problem: ProblemName = None
    updates: Updates = None
    learning_rate: LearningRate = None
    data: Data = None
    target: TargetColumns = None
    hidden: Hidden = None
    seed: Seed = None

    @property
    def named(self) -> bool:
        """Whether a problem was chosen at all; a seed alone chooses none."""
        return any((self.problem is not None, self.data, self.target, self.hidden))

    def task(self) -> Problem:
        """The problem; raises UsageError."""
        from .common.data import chosen

        return chosen(**vars(self))


def command(without: tuple[str, ...] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command whose first parameter is a `Chosen`: its options stand before the command's own."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        _, *own = inspect.signature(function, eval_str=True).parameters.values()
        own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
        shared = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
            for name, kind in get_type_hints(Chosen, include_extras=True).items()
            if name not in without
        ]

        def run(**options: Any) -> None:
            function(Chosen(**{each.name: options.pop(each.name) for each in shared}), **options)

        run.__name__, run.__doc__ = function.__name__, function.__doc__
        run.__annotations__ = {each.name: each.annotation for each in (*shared, *own)}
        run.__signature__ = inspect.Signature([*shared, *own])  # type: ignore[attr-defined]
        app.command()(run)
        return function

    return register


def end(shown: RenderableType, status: int, *writes: Callable[[], object], width: int = 140) -> NoReturn:
    """Write what is to be written, show the result, and end with that status."""
    from . import console

    try:
        for write in writes:
            write()
    finally:  # a full disk must not take the table along
        console.show(shown, width)
    raise typer.Exit(status)


def to_json(path: Path | None, result: Any) -> Callable[[], None]:
    """What writes the result to the file that --json names, if any."""
    from .common.files import write_json

    return lambda: write_json(path, result.to_json()) if path else None


def leave_out(context: typer.Context, why: str, *names: str) -> None:
    """Raise UsageError if any of these parameters stands on the command line: it would be ignored."""
    from .common.errors import UsageError

    told = [each for each in context.command.params if each.name in names and _is_given(context, each.name)]
    if told:
        raise UsageError(f"{why}: leave out {', '.join(each.opts[0] for each in told)}")


def given(**options: Any) -> dict[str, Any]:
    """What was given of these options; for the others the function that is called has its own default."""
    return {name: value for name, value in options.items() if value is not None}


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    absent = context.params.get(name) in (None, (), [])  # which click 8.1 says is from the command line, too
    return not absent and source is not None and source.name == "COMMANDLINE"


OF_A_PROBLEM = tuple(get_type_hints(Chosen))


@command()
def compare(
    chosen: Chosen,
    backend: BackendNames = None,
    dtype: Dtype = "float64",
    arithmetic: Arithmetic = "both",
    predict: Annotated[
        list[str] | None, typer.Option(help='also predict for a new input, such as "0,1,1"; repeatable')
    ] = None,
    watch: Annotated[
        int, typer.Option(help="also show what each layer computes in the first N and the last N updates")
    ] = 0,
    processes: Annotated[
        str | None,
        typer.Option(metavar="1,2,4", help="train on each of these numbers of processes", show_default="1"),
    ] = None,
    json: JsonFile = None,
) -> None:
    """Train the same network in every backend and compare the weights with NumPy's.

    This compares one training run, to within rounding. To test whether a backend is correct, use equigrad check.
    """
    from . import console
    from .common.files import check_writable
    from .compare import comparison, view
    from .scale import launcher, spread

    task, rows, counts = chosen.task(), view.predicted_rows(predict), spread.process_counts(processes)
    check_writable(json)
    with launcher.together(task, backend), console.progress() as report:
        result = comparison.compare(
            task, backend, dtype=dtype, arithmetic=arithmetic, predict=rows, watch=watch, processes=counts,
            progress=report,
        )  # fmt: skip
    end(view.comparison(result, rows), result.status(backend or ()), to_json(json, result))


@command(without=("updates", "learning_rate", "seed"))
def check(
    chosen: Chosen,
    context: typer.Context,
    backend: BackendNames = None,
    dtype: Annotated[
        str | None, typer.Option(help="float64 or float32", show_default="both; float64 with a problem")
    ] = None,
    arithmetic: Arithmetic = "both",
    seconds: Annotated[
        float | None, typer.Option(help="how long to search, for all backends together", show_default="60")
    ] = None,
    examples: Annotated[
        int | None, typer.Option(help="try this many networks for each backend instead, however long it takes")
    ] = None,
    curve: Annotated[
        bool, typer.Option("--curve", help="also show how the error of difference quotients depends on the step size")
    ] = False,
    power: Annotated[
        bool, typer.Option("--power", help="prove that wrong backends are caught, without false alarms")
    ] = False,
    problems: Annotated[
        int | None, typer.Option(help="networks for each correct backend, with --power", show_default="500")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="seed of the search, or of a problem's first weights", show_default="0, or 1")
    ] = None,
    json: JsonFile = None,
) -> None:
    """Check predictions, gradients, updates and training of each backend against 50-digit arithmetic.

    Without a problem it tries every law on many networks, small and large, for a minute; --seed chooses them.

    If a law is broken, it shows the smallest network that breaks it.

    With a problem, or --data, it shows the gradient there, layer by layer, and which laws hold:

    equigrad check two-layer --curve
    """
    from . import console
    from .check import view
    from .common.files import check_writable

    check_writable(json)
    budget = ("seconds", "examples")
    if power:
        why = "--power tries networks of its own, in every dtype and arithmetic"
        leave_out(context, why, *OF_A_PROBLEM, "curve", "dtype", "arithmetic", *budget)
        from .laws.power import power as prove

        with console.progress() as report:
            proof = prove(backend, **given(problems=problems), progress=report)
        end(view.power(proof), 0 if proof.proved else 1, to_json(json, proof))
    from .check.gradcheck import check, thorough

    leave_out(context, "--problems is for --power only", "problems")
    if chosen.named or curve:
        leave_out(context, "--seconds and --examples are for the search without a problem", *budget)
        task = replace(chosen, seed=seed).task()
        with console.progress() as report:
            result = check(task, backend, **given(dtype=dtype), arithmetic=arithmetic, curve=curve, progress=report)
        end(view.check(result), result.status(backend or ()), to_json(json, result))
    if examples is not None:
        leave_out(context, "--examples alone says how long to search", "seconds")
    with console.progress() as report:
        found = thorough(
            backend, arithmetic=arithmetic, examples=examples, progress=report,
            **given(dtypes=dtype if dtype is None else (dtype,), seconds=seconds, seed=seed),
        )  # fmt: skip
    end(view.thorough(found), found.status(backend or ()), to_json(json, found))


@command()
def diverge(
    chosen: Chosen,
    backend: Annotated[
        list[str] | None, typer.Option("--backend", "-b", help=BACKEND, show_default="numpy and torch")
    ] = None,
    dtype: Dtypes = None,
    arithmetic: Arithmetics = None,
    budget: Annotated[
        float, typer.Option(help="how many seconds to follow the distance after the first difference")
    ] = 6.0,
    json: JsonFile = None,
) -> None:
    """Find where two backends part: the first update, quantity and operation whose bits differ.

    Give --backend twice, or once with two arithmetics or two dtypes:

    equigrad diverge -b torch --arithmetic native --arithmetic reproducible

    Values of two dtypes are rounded to the narrower one before they are compared.
    """
    from . import console
    from .common.files import check_writable
    from .diverge import divergence, view

    task = chosen.task()
    check_writable(json)
    with console.progress() as report:
        result = divergence.diverge(
            task,
            **given(backends=backend, dtype=dtype, arithmetic=arithmetic),
            budget=budget,
            progress=report,
        )
    end(view.divergence(result), 0 if result.identical else 1, to_json(json, result))


@command(without=("updates",))
def trace(
    chosen: Chosen,
    backend: BackendNames = None,
    updates: Annotated[int, typer.Option(help="number of updates to show")] = 3,
    dtype: Dtypes = None,
    arithmetic: Arithmetics = None,
) -> None:
    """Show what each backend computes at every line of the training loop, side by side, and mark what differs."""
    from . import console
    from .diverge import tracing, view

    result = tracing.trace(chosen.task(), backend, updates=updates, **given(dtype=dtype, arithmetic=arithmetic))
    console.show(view.tracing(result))


@app.command()
def crosscheck(
    functions: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE.py:NAME ...",
            help="the same function, for one to three frameworks; torch=FILE.py:NAME if the file does not show which",
        ),
    ],
    inputs: Annotated[Path | None, typer.Option(help="the arrays that it is called with, .npz")] = None,
    parameters: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="parameters, differentiated in place of the inputs: FILE.npz or FILE.py:NAME"
        ),
    ] = None,
    gradient: Annotated[
        str | None, typer.Option(metavar="FILE.py:NAME", help="the gradient of the NumPy function, written by hand")
    ] = None,
    dtype: Dtype = "float64",
    elements: Annotated[
        int | None,
        typer.Option(
            help="elements of each array at which NumPy's function is differentiated one by one", show_default="200"
        ),
    ] = None,
    json: JsonFile = None,
) -> None:
    """Check a function's gradient, or its port to another framework: value, gradient and the line where they part.

    A port: equigrad crosscheck model.py:f port.py:f --inputs data.npz

    A gradient by hand: equigrad crosscheck model.py:f --gradient model.py:df --inputs data.npz
    """
    from . import console
    from .common.files import check_writable
    from .crosscheck import crosschecks, loading, view

    check_writable(json)
    with console.progress() as report:
        given = loading.from_files(functions, inputs, parameters, gradient)
        result = crosschecks.crosscheck(**given, dtype=dtype, elements=elements, progress=report)
    end(view.crosscheck(result), result.status, to_json(json, result))


@app.command()
def bench(
    context: typer.Context,
    problem: Annotated[
        list[str] | None,
        typer.Argument(
            help="one-layer (default), two-layer, digits or a size such as 4096x256-256-10; with --merge, result files",
            show_default=False,
        ),
    ] = None,
    backend: BackendNames = None,
    dtype: Annotated[str, typer.Option(help="float64, float32 or both")] = "float64",
    arithmetic: Arithmetic = "both",
    updates: Annotated[int | None, typer.Option(help="number of updates", show_default="the problem's")] = None,
    who: Annotated[
        str,
        typer.Option(
            help="backends, floors (and backends), headline (also each framework as people write it) or everyone"
        ),
    ] = "everyone",
    rounds: Annotated[int, typer.Option(help="number of interleaved rounds, each with one sample of every row")] = 7,
    threads: Annotated[
        int | None, typer.Option(help="threads for every row", show_default="1 if small, else all")
    ] = None,
    patience: Annotated[
        float, typer.Option(help="give up on a row after this many seconds without a response")
    ] = 120.0,
    anatomy: Annotated[
        bool,
        typer.Option("--anatomy", help="also show import, compilation, first update, memory and the cost of each call"),
    ] = False,
    process: Annotated[bool, typer.Option("--process", help="also time the whole of equigrad compare")] = False,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="time a series of sizes: samples, width and depth, from tiny to large")
    ] = False,
    processes: Annotated[
        str | None, typer.Option(metavar="1,2", help="also time the backends on these numbers of processes")
    ] = None,
    save: Annotated[str | None, typer.Option(metavar="NAME", help="keep the result under this name")] = None,
    against: Annotated[
        str | None, typer.Option(metavar="NAME|FILE", help="compare with a kept result or a result file")
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="time nothing: show the results of several machines side by side")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE.html|.png", help="also draw the result to this file")
    ] = None,
    json: JsonFile = None,
) -> None:
    """Time the update loops side by side. A row whose weights do not agree gets no number.

    Several machines side by side: equigrad bench --merge laptop.json server.json --plot hardware.html
    """
    from . import console
    from .bench import hardware, results, suite
    from .bench.pages import picture, view
    from .common.files import check_writable
    from .scale import spread

    for path in (json, plot):
        check_writable(path)
    picture.check(plot)
    if merge:
        others = (each.name or "" for each in context.command.params if each.name not in ("problem", "merge", "plot"))
        leave_out(context, "--merge takes results and times nothing", *others)
        merged = hardware.merge(problem or ())
        end(
            view.hardware(merged),
            int(bool(merged.findings)),
            lambda: picture.write_hardware(merged, plot) if plot else None,
            width=200,
        )
    results.check(save)
    before = results.load(against) if against else None
    signal.set_wakeup_fd(-1)  # Ctrl-C keeps what was measured; nothing here computes for long
    with console.progress() as report:
        result = suite.bench(
            problem or (), backend, dtype=dtype, arithmetic=arithmetic, updates=updates, who=who, rounds=rounds,
            threads=threads, patience=patience, anatomy=anatomy, process=process, sweep=sweep,
            processes=spread.process_counts(processes), progress=report,
            command=shlex.join(["equigrad", *sys.argv[1:]]),
        )  # fmt: skip
    end(
        view.everything(result, anatomy, before, against or ""),
        suite.status(result, backend or ()),
        to_json(json, result),
        lambda: results.save(result, save) if save else None,
        lambda: picture.write(result, plot) if plot else None,
        width=200,
    )


@command(without=("problem",))
def report(
    chosen: Chosen,
    context: typer.Context,
    problem: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PROBLEM | RESULT.json",
            help="one-layer (default), two-layer or digits, and JSON files of the other commands",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="the page to write", show_default="report.html")] = None,
    backend: BackendNames = None,
    dtype: Annotated[str, typer.Option(help="float64, float32 or both")] = "both",
    site: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="write all three problems and the documentation as a static site instead"),
    ] = None,
) -> None:
    """Write an HTML page that shows all results and trains the network in your browser.

    With a problem it computes all that it shows, except for timings: they come from a JSON file of equigrad bench.

    With JSON files alone it shows these results, and replays their problem.
    """
    from . import console, reporting
    from .common.data import refuse_files

    refuse_files(problem or ())
    if site is not None:
        others = (name for name in OF_A_PROBLEM if name != "updates")
        leave_out(context, "--site writes a page for each built-in problem", *others, "out")
        with console.progress() as bar:
            pages = reporting.site(site, backends=backend, dtype=dtype, updates=chosen.updates, progress=bar)
        for each, page in pages.items():
            console.say(f"{site / each}.html: {len(page.html) / 1e6:.1f} MB. {page.verdict}")
        raise typer.Exit(0 if all(page.agreed for page in pages.values()) else 1)
    out = out or Path("report.html")
    name, results = reporting.told_apart(problem or ())
    task = None
    chosen = replace(chosen, problem=name)
    if name is not None or chosen.data is not None or not results:
        task = chosen.task()
    else:
        leave_out(context, "the results say how it was trained", *(name for name in OF_A_PROBLEM if name != "problem"))
    with console.progress() as bar:
        page = reporting.report(task, results, backends=backend, dtype=dtype, out=out, progress=bar)
    console.say(f"{out}: {len(page.html) / 1e6:.1f} MB. {page.verdict}")
    raise typer.Exit(0 if page.agreed else 1)


@app.command()
def passport() -> None:
    """Show this machine, the versions, devices and precision found, what is missing, and how to install it."""
    from . import console
    from .passport import passport

    console.show(console.passport(passport()))


def main() -> None:
    """Run the command line; every expected error is one line on standard error."""
    interrupt.end_promptly_on_ctrl_c()
    from .scale import place

    place.be_silent_unless_first()
    arguments = sys.argv[1:] or ["--help"]
    if place.place() and arguments[0] != "compare" and not asks_help(arguments):
        why = "only equigrad compare runs on the processes of a launcher such as mpiexec"
        sys.exit(_complain(f"{why}: start this command without it", 2))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character shows ? in its place
    try:
        status = _whole()(arguments, prog_name="equigrad", standalone_mode=False)
    except (KeyboardInterrupt, Exception) as error:
        status = _explain(error)
    except SystemExit as error:
        if not (asks_help(arguments) and isinstance(error.__context__, BrokenPipeError)):
            raise
        status = 0  # the reader of a page of help, such as head, has seen enough
    if status == interrupt.STATUS:
        interrupt.end()
    sys.exit(status)


def asks_help(arguments: Sequence[str]) -> bool:
    return not {"-h", "--help"}.isdisjoint(arguments)


@cache
def _whole() -> Any:
    """All commands as click knows them; to make them out of the functions takes longer than many of them run."""
    return typer.main.get_command(app)


def _explain(error: BaseException) -> int:
    """Say in one line what went wrong, and return the status; what nobody expected is raised again."""
    from .common.errors import MissingError, UsageError

    # Abort is what click makes of Ctrl-C; a library in the middle of its import makes anything of it
    if isinstance(error, KeyboardInterrupt) or interrupt.seen.is_set() or type(error).__name__ == "Abort":
        return interrupt.STATUS
    if isinstance(error, (UsageError, MissingError)):
        return _complain(str(error), error.status)
    if isinstance(error, OSError):  # standard output cannot be written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _complain(str(error), 2)
    if hasattr(error, "format_message"):  # every usage error of click, whichever typer brings
        return _complain(_usage(error), 2)
    raise error


def _usage(error: Any) -> str:
    """What click says is wrong with the command line, and what it leaves out: the value, and what there is."""
    message, cause = str(error.format_message()), error.__cause__
    if hasattr(cause, "errors"):  # pydantic's, by which newer versions of typer read numbers
        wrong = cause.errors()[0]
        message = f"{message.partition(':')[0]}: '{wrong['input']}' is not a valid {wrong['type']}."
    if number := re.fullmatch(r"(.*?)(?: \(env var.*?\))?: '(.*)' is not a valid (int|float)\w*\.", message, re.DOTALL):
        again = f": give {error.param.opts[0]} once for each" if error.param.multiple else ""
        return f"{number[1]}: '{number[2]}' is not a {'whole ' * (number[3] == 'int')}number{again}"
    if not (unknown := re.fullmatch("No such command '(.*)'.", message)):
        return message
    every = error.ctx.command.commands
    with_option = [name for name, each in every.items() if any(f"--{unknown[1]}" in p.opts for p in each.params)]
    return f"{message} " + (
        f"Did you mean 'equigrad {with_option[0]} --{unknown[1]}'?" if with_option else f"There are {', '.join(every)}."
    )


def _complain(message: str, status: int) -> int:
    """Print one line, however long and strange the text that it quotes."""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))
    print(f"equigrad: {line if len(line) <= 600 else line[:600] + ' ...'}", file=sys.stderr)
    return status
