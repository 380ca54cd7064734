"""Sweeps over formats: every point compiled once, in parallel, and never again after a kill."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from qcompile.errors import Collector, CompileError, fail
from qcompile.explore.point import Point, Subject, measure
from qcompile.frontend import read

Pair = tuple[str, str]
"""(format of the weights, format of the activations)"""
Progress = Callable[[str, float | None], None]


def format_pairs(kinds: Sequence[str], least: int, most: int) -> list[Pair]:
    """Weights and activations in the same format, for each of ``kinds`` from ``least`` to ``most`` bits.

    ``fixed``; ``minifloat``, in every split of the bits into exponent and mantissa; ``pow2``, for the weights,
    with fixed-point activations.
    """
    found: list[Pair] = []
    for kind in kinds:
        for bits in range(least, most + 1):
            match kind:
                case "fixed":
                    found.append((f"fixed:{bits}", f"fixed:{bits}"))
                case "minifloat":
                    names = [f"minifloat:e{e}m{bits - 1 - e}" for e in range(1, min(6, bits))]
                    found += [(name, name) for name in names]
                case "pow2" if bits <= 5:
                    found.append((f"pow2:{bits}", f"fixed:{max(bits, 4)}"))
    return found


def sweep(
    subject: Subject,
    pairs: Sequence[Pair],
    record: Path | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    progress: Progress = lambda stage, done: None,
) -> list[Point | str]:
    """A `Point` for each of ``pairs``, or why it could not be compiled.

    With ``record`` every finished point is a line of JSON there at once, and points that are there already are
    taken from it (if model, data and options are the same). ``workers`` processes of this machine, or the Dask
    cluster at the address ``scheduler``.
    """
    if read(subject.model, Collector()).quantized:
        raise fail("QC208", subject.model, "the file brings quantizers of its own", "give the float network")
    digest = subject.digest
    done = {} if record is None else _recorded(record, digest)
    left = [pair for pair in pairs if pair not in done]
    for number, (pair, result) in enumerate(_results(subject, left, workers, scheduler), 1):
        done[pair] = result
        if record is not None:
            _append(record, digest, pair, result)
        progress(f"measure {pair[0]}/{pair[1]}", number / len(left))
    return [done[pair] for pair in pairs]


def pareto(points: Sequence[Point]) -> list[Point]:
    """Those that no other point beats in LUTs and accuracy at once, cheapest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p.lut, -quality(p))):
        if not best or quality(point) > quality(best[-1]):
            best.append(point)
    return best


def quality(point: Point) -> float:
    """Accuracy where there are labels, else how often the float network's class is met."""
    return point.agreement if point.accuracy is None else point.accuracy


def attempt(subject: Subject, pair: Pair) -> Point | str:
    """The point, or the text of the diagnostics that stopped it."""
    try:
        return measure(subject, *pair)
    except CompileError as error:
        return error.diagnostics[0].found


def _results(
    subject: Subject, pairs: Sequence[Pair], workers: int, scheduler: str | None
) -> Iterator[tuple[Pair, Point | str]]:
    if not pairs:
        return
    if scheduler is not None:
        yield from _on_cluster(subject, pairs, scheduler)
    elif workers == 1:
        yield from ((pair, attempt(subject, pair)) for pair in pairs)
    else:
        # Threads of numba and BLAS do not survive a fork.
        pool: Executor
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            futures = {pool.submit(attempt, subject, pair): pair for pair in pairs}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
            finally:
                pool.shutdown(cancel_futures=True)


def _on_cluster(subject: Subject, pairs: Sequence[Pair], address: str) -> Iterator[tuple[Pair, Point | str]]:
    try:
        from dask import distributed
    except ImportError:
        raise fail(
            "QC503", "--scheduler", "Dask is not installed", "pip install qcompile[cluster], here and on the workers"
        ) from None
    dask: Any = distributed
    try:
        client = dask.Client(address, timeout="10s")
    except (OSError, ValueError) as error:
        raise fail(
            "QC209", f"--scheduler {address}", f"no Dask scheduler answers ({error})", "start one with `dask scheduler`"
        ) from None
    with client:
        # Workers may not see this machine's files.
        content = Path(subject.model).read_bytes()
        held = client.scatter((subject, content), broadcast=True)
        futures = {client.submit(_on_worker, held, pair, pure=False): pair for pair in pairs}
        for future in dask.as_completed(list(futures)):
            yield futures[future], future.result()


def _on_worker(held: tuple[Subject, bytes], pair: Pair) -> Point | str:
    """As `attempt`, on a machine that gets the model's bytes."""
    from dataclasses import replace
    from tempfile import TemporaryDirectory

    subject, content = held
    with TemporaryDirectory() as folder:
        model = Path(folder) / Path(subject.model).name
        model.write_bytes(content)
        return attempt(replace(subject, model=str(model)), pair)


def _recorded(record: Path, digest: str) -> dict[Pair, Point | str]:
    """Finished points of the same subject; a line that a kill cut off is none."""
    found: dict[Pair, Point | str] = {}
    if not record.exists():
        return found
    for line in record.read_text(encoding="utf-8").splitlines():
        try:
            held: dict[str, Any] = json.loads(line)
        except json.JSONDecodeError:
            continue
        if held.pop("digest", None) != digest:
            continue
        pair = (held["weights"], held["activations"])
        found[pair] = held["refused"] if "refused" in held else Point(**held)
    return found


def _append(record: Path, digest: str, pair: Pair, result: Point | str) -> None:
    held = result.as_json() if isinstance(result, Point) else {"refused": result}
    line = json.dumps({"digest": digest, "weights": pair[0], "activations": pair[1]} | held)
    ends_whole = not record.exists() or record.stat().st_size == 0 or record.read_bytes().endswith(b"\n")
    with record.open("a", encoding="utf-8") as file:
        file.write(("" if ends_whole else "\n") + line + "\n")
        file.flush()
