"""Break the server on purpose and see whether the contract notices: `make mutants`.

Each mutant is the emulator with one fault around one operation (tests/mutants). schemathesis calls that operation; the
mutant is caught when a check that it names fails there. Two rates are told: by the specs alone, which is by the checks
of schemathesis itself, and by the specs and the checks of `emulator.contract.checks`. Every survivor is named, with the
reason where it is known (tests/mutants/survivors.py).
"""

from __future__ import annotations

import argparse
import collections
import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "mutants")]

from registry import by_hand, generic  # noqa: E402
from runner import Running, Server, Verdict, samples  # noqa: E402
from survivors import reason  # noqa: E402
from wrapping import Mutant  # noqa: E402

from emulator.app import open_services  # noqa: E402
from emulator.settings import Settings  # noqa: E402

SPEC_GOAL = 75.0
CHECKS_GOAL = 95.0
SOUND_SEEDS = 10
"""For which the unbroken server has to be without findings before a kill counts."""
LONGEST = 3600
PROGRESS = sys.stderr.isatty()


def main() -> int:
    """Run them; returns the exit code."""
    chosen = _arguments()
    if chosen.worker:
        return _work(chosen)
    names = _names(chosen)
    started = time.monotonic()
    verdicts, unsound = _gather(names, chosen)
    show(verdicts, time.monotonic() - started)
    unsound += [
        f"(a check itself fails) {verdict['mutant']}: {other}"
        for verdict in verdicts
        for other in verdict.get("others", ())
        if other.startswith("error ")
    ]
    for line in unsound:
        print(f"UNSOUND: the unbroken server fails {line}", flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(verdicts, indent=1, ensure_ascii=False))
    some = bool(chosen.sample or chosen.only)
    return 1 if unsound or not good_enough(verdicts, some) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Break the server on purpose and see whether the contract notices.")
    parser.add_argument("--backend", action="append", help="only this one; may be given again")
    parser.add_argument("--only", default="", help="only mutants whose name contains this")
    parser.add_argument("--sample", type=int, default=0, help="so many of all, drawn with the seed")
    parser.add_argument("--seed", type=int, default=1, help="of the sample and of schemathesis (default: %(default)s)")
    parser.add_argument("--examples", type=int, default=10, help="generated for an operation (default: %(default)s)")
    parser.add_argument("--at-once", type=int, default=2, help="processes at a time (default: %(default)s)")
    parser.add_argument("--list", action="store_true", help="name them and run nothing")
    parser.add_argument("--json", type=Path, help="write all verdicts to this file")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


def _names(chosen: argparse.Namespace) -> list[str]:
    """The backends that are asked for."""
    return list(dict.fromkeys(chosen.backend or open_services(Settings())))


def _gather(names: Sequence[str], chosen: argparse.Namespace) -> tuple[list[dict[str, Any]], list[str]]:
    """A process for each backend, some at a time: what was found, and what is wrong with the unbroken server."""
    with ThreadPoolExecutor(min(chosen.at_once, os.cpu_count() or 1)) as pool:
        told = [said for of_backend in pool.map(_run, _longest_first(names)) for said in of_backend]
    return [said for said in told if "unsound" not in said], [said["unsound"] for said in told if "unsound" in said]


def _longest_first(names: Sequence[str]) -> list[str]:
    """So that no process is left alone with most of the work at the end."""
    return sorted(names, key=lambda name: -len(open_services(Settings())[name].document.operations))


def _run(name: str) -> list[dict[str, Any]]:
    """One process, and what it has to say."""
    done = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], "--worker", name],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        timeout=LONGEST,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the mutants of {name} ended with {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def _work(chosen: argparse.Namespace) -> int:
    """One backend: a line of JSON for each mutant."""
    server = Server(chosen.worker)
    with server.running():
        mutants = [
            *generic(chosen.worker, server.service, samples(server)),
            *(mutant for mutant in by_hand() if mutant.backend == chosen.worker),
        ]
        # A sample belongs to a push, where `make contract` has shown the unbroken server to be sound.
        run = Running(server, chosen.seed, chosen.examples, 0 if chosen.sample else SOUND_SEEDS)
        for mutant in _chosen(mutants, chosen):
            if chosen.list:
                _tell({"mutant": mutant.name, "kind": mutant.kind, "operation": mutant.operation})
                continue
            _tell(_told(mutant, run.verdict(mutant)))
        for id, found in run.sound().items():
            _tell({"unsound": f"{chosen.worker}/{id}: {sorted(found)}"})
    return 0


def _tell(said: dict[str, Any]) -> None:
    print(json.dumps(said, ensure_ascii=False), flush=True)
    if PROGRESS and "spec" in said:
        print("+" if said["spec"] or said["checks"] else "-", end="", file=sys.stderr, flush=True)


def _told(mutant: Mutant, verdict: Verdict) -> dict[str, Any]:
    return {
        "mutant": verdict.mutant,
        "backend": verdict.backend,
        "operation": mutant.operation,
        "kind": verdict.kind,
        "spec": list(verdict.spec),
        "checks": list(verdict.checks),
        "others": list(verdict.others),
        "cases": verdict.cases,
        "seconds": round(verdict.seconds, 2),
    }


def _chosen(mutants: Sequence[Mutant], chosen: argparse.Namespace) -> list[Mutant]:
    """Those that are asked for."""
    named = [mutant for mutant in mutants if chosen.only in mutant.name]
    if not chosen.sample:
        return named
    operations = {name: len(open_services(Settings())[name].document.operations) for name in _names(chosen)}
    drawn = random.Random(f"{chosen.seed}/{chosen.worker}")
    wanted = drawn.sample(named, min(len(named), share(chosen.sample, operations)[chosen.worker]))
    return sorted(wanted, key=lambda mutant: mutant.operation)


def share(sample: int, operations: Mapping[str, int]) -> dict[str, int]:
    """How many of a sample each backend gives, by how many operations it has: whole numbers, and their sum is the
    sample. How many mutants each has is not known before they are made."""
    ends = list(itertools.accumulate(operations.values(), initial=0))
    upto = [round(sample * end / ends[-1]) for end in ends]
    return {name: last - first for name, first, last in zip(operations, upto, upto[1:], strict=False)}


def show(verdicts: Sequence[dict[str, Any]], seconds: float) -> None:
    """Rates, and survivors by name."""
    if verdicts and "spec" not in verdicts[0]:
        for verdict in verdicts:
            print(verdict["mutant"])
        print(
            f"{_count(len(verdicts), 'mutant')} of {_count(len({one['operation'] for one in verdicts}), 'operation')}"
        )
        return
    kinds = collections.Counter(verdict["kind"].rstrip(" 12") for verdict in verdicts)
    print(f"{_count(len(verdicts), 'mutant')} of {_count(len(kinds), 'kind')} in {seconds:.0f} s")
    for verdict in verdicts:
        if not verdict["spec"] and not verdict["checks"]:
            why = reason(verdict["mutant"]) or "no reason known"
            print(
                f"  survived  {verdict['mutant']}: {why}"
                + (f" (failed: {verdict['others']})" * bool(verdict["others"]))
            )
    for backend in sorted({verdict["backend"] for verdict in verdicts}):
        of = [verdict for verdict in verdicts if verdict["backend"] == backend]
        print(_line(backend, of))
    print(_line("all", verdicts), flush=True)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number != 1)


def _line(name: str, of: Sequence[dict[str, Any]]) -> str:
    return f"{name:<10} {len(of):>4} mutants, specs alone {_rate(of, 'spec'):5.1f} %, with checks {_rate(of):5.1f} %"


def _rate(verdicts: Sequence[dict[str, Any]], by: str = "") -> float:
    killed = [one for one in verdicts if one["spec"] or (not by and one["checks"])]
    return 100 * len(killed) / len(verdicts) if verdicts else 0.0


def good_enough(verdicts: Sequence[dict[str, Any]], some: bool) -> bool:
    """Whether every survivor has its reason and the goals are reached. Where only some mutants were run, the rates are
    those of the few, and no goal is set for them."""
    if verdicts and "spec" not in verdicts[0]:
        return True
    unexplained = [one for one in verdicts if not one["spec"] and not one["checks"] and not reason(one["mutant"])]
    if unexplained:
        print(f"{_count(len(unexplained), 'survivor')} without a reason")
    return not unexplained and (some or (_rate(verdicts, "spec") >= SPEC_GOAL and _rate(verdicts) >= CHECKS_GOAL))


if __name__ == "__main__":
    sys.exit(main())
