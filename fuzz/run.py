"""Run every fuzz target for a fixed time: `python fuzz/run.py --seconds 20`.

Each target is a file `fuzz_<parser>.py` beside this one whose docstring states its oracle. What a run finds is kept in
fuzz/found/ and becomes a transcript or a table row; the corpus grows in fuzz/corpus/ and is not committed.
`--runs 1500` tries the same inputs each time instead, from the seeds alone: for CI, where luck should decide nothing.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
_PROGRESS = re.compile(r"#\d+\s|\s+NEW_FUNC|INFO:")


def run_for(path: Path, seconds: int) -> tuple[str, int, str]:
    """Look for something new for some seconds; gives the target's name, its exit code and what it printed."""
    corpus = HERE / "corpus" / path.stem.removeprefix("fuzz_")
    corpus.mkdir(parents=True, exist_ok=True)
    return run_target(path, corpus, [f"-max_total_time={seconds}"], limit=seconds * 4 + 120)


def run_the_same(path: Path, runs: int) -> tuple[str, int, str]:
    """Try the inputs that `runs` give from the committed seeds; as run_for()."""
    with tempfile.TemporaryDirectory() as corpus:
        return run_target(path, Path(corpus), ["-seed=1", f"-runs={runs}"], limit=600)


def run_target(path: Path, corpus: Path, until: list[str], *, limit: int) -> tuple[str, int, str]:
    """Run one target; gives its name, exit code and the runs it did or what it found."""
    name = path.stem.removeprefix("fuzz_")
    found = HERE / "found" / name
    found.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        str(path),
        *until,
        "-timeout=10",
        "-rss_limit_mb=2048",
        "-max_len=16384",
        f"-artifact_prefix={found}/",
        str(corpus),
    ]
    seeds = HERE / "seeds" / name
    if seeds.is_dir():
        command.append(str(seeds))
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=limit, check=False, env=environment
    )
    output = done.stdout + done.stderr
    if done.returncode:
        # libFuzzer's lines of progress would hide what matters.
        kept = [line for line in output.splitlines() if not _PROGRESS.match(line)]
        return name, done.returncode, "\n".join(kept)[-4000:]
    counted = re.findall(r"Done (\d+) runs|stat::number_of_executed_units: (\d+)", output)
    return name, 0, f"{next((a or b for a, b in reversed(counted)), '?')} runs"


def main() -> int:
    """Run the targets two at a time; 0 when none found anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="time for each target")
    parser.add_argument("--runs", type=int, help="instead of a time: this many runs, the same each time")
    parser.add_argument("--only", help="the name of one target")
    chosen = parser.parse_args()
    targets = sorted(HERE.glob("fuzz_*.py"))
    if chosen.only:
        targets = [path for path in targets if path.stem == f"fuzz_{chosen.only}"]
        if not targets:
            print(f"There is no target {chosen.only!r}; see fuzz/fuzz_*.py", file=sys.stderr)
            return 2
    try:
        import atheris  # noqa: F401
    except ImportError:
        print(
            "atheris is not installed here (it has wheels for x86-64 Linux only): fuzzing skipped",
            file=sys.stderr,
        )
        return 1 if os.environ.get("CI") else 0

    def run(path: Path) -> tuple[str, int, str]:
        return run_the_same(path, chosen.runs) if chosen.runs else run_for(path, chosen.seconds)

    findings = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        for name, code, tail in pool.map(run, targets):
            print(f"{name:20} {'FOUND SOMETHING' if code else f'ok  {tail}'}", flush=True)
            if code:
                findings.append((name, tail))
    for name, tail in findings:
        print(f"\n--- {name}: what it found is in fuzz/found/{name}\n{tail}")
    length = f"{chosen.runs} runs" if chosen.runs else f"{chosen.seconds} s"
    print(f"{len(targets)} targets, {length} each, {len(findings)} found something")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
