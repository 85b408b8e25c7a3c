"""Run every fuzz target for a fixed time: `python fuzz/run.py --seconds 20`.

Each target is a file `fuzz_<parser>.py` beside this one whose docstring states its oracle. What a run finds is kept in
fuzz/found/ and becomes a transcript or a table row; the corpus grows in fuzz/corpus/ and is not committed.
"""

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent


def run_target(path: Path, seconds: int) -> tuple[str, int, str]:
    """Run one target; gives its name, exit code and the end of what it printed."""
    name = path.stem.removeprefix("fuzz_")
    corpus, found = HERE / "corpus" / name, HERE / "found" / name
    corpus.mkdir(parents=True, exist_ok=True)
    found.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        str(path),
        f"-max_total_time={seconds}",
        "-timeout=10",
        "-rss_limit_mb=2048",
        "-max_len=16384",
        f"-artifact_prefix={found}/",
        str(corpus),
    ]
    seeds = HERE / "seeds" / name
    if seeds.is_dir():
        command.append(str(seeds))
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds * 4 + 120, check=False)
    output = done.stdout + done.stderr
    counted = re.findall(r"Done (\d+) runs|stat::number_of_executed_units: (\d+)", output)
    runs = next((a or b for a, b in reversed(counted)), "?")
    tail = f"{runs} runs" if done.returncode == 0 else output[-3000:]
    return name, done.returncode, tail


def main() -> int:
    """Run the targets two at a time; 0 when none found anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="time for each target")
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
    failed = 0
    with ThreadPoolExecutor(max_workers=2) as pool:
        for name, code, tail in pool.map(lambda path: run_target(path, chosen.seconds), targets):
            print(f"{name:20} {'ok' if code == 0 else 'FOUND SOMETHING'}  {tail}", flush=True)
            failed += code != 0
    print(f"{len(targets)} targets, {chosen.seconds} s each, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
