"""Run the benchmarks, and write a report with machine, date and versions.

python scripts/bench_report.py [out=runs/bench_report.md] [scripts=[bench_models,...]]
    ["keys={bench_models:[steps=2,rounds=1]}"]

Every script runs in a process of its own, one after the other. The report has its command line, its
time and what it printed, and is written anew after each. A script that fails is reported with its
error; the others run, and the exit code is 1. `bench_quality` needs songs, so it is run only if it
is named: scripts=[bench_quality] "keys={bench_quality:[songs=songs]}".
"""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from omegaconf import OmegaConf

from auralflow_pl.system.files import write_text

FOLDER = Path(__file__).parent
NAMES = (
    "bench_synthetic",
    "bench_separation",
    "bench_models",
    "bench_engines",
    "bench_graphs",
    "bench_data",
    "bench_training",
    "bench_metrics",
    "bench_startup",
    "bench_published",
)
PACKAGES = ("auralflow-pl", "torch", "torchaudio", "pytorch-lightning", "onnxruntime", "numpy")
INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


@dataclass
class Options:
    """Options of the command line."""

    out: str = "runs/bench_report.md"
    scripts: list[str] = field(default_factory=lambda: list(NAMES))
    keys: dict[str, list[str]] = field(default_factory=dict)


def processor() -> str:
    """Name of the processor, and those of its instructions that matter here."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.is_file() else []
    found = {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)
    }
    flags = [one for one in INSTRUCTIONS if one in found.get("flags", "").split()]
    name = found.get("model name") or platform.processor() or platform.machine()
    return f"{name} ({', '.join(flags) or 'instructions unknown'})"


def versions() -> str:
    """Versions of Python and of the packages that decide the speed."""
    found = [f"Python {platform.python_version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except ModuleNotFoundError:
            found.append(f"no {name}")
    return ", ".join(found)


def head() -> str:
    """Machine, date and versions."""
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return (
        "# Benchmarks\n\n| | |\n|---|---|\n"
        f"| begun | {datetime.now(UTC):%Y-%m-%d %H:%M} UTC |\n"
        f"| processor | {os.cpu_count()} x {processor()} |\n"
        f"| system | {platform.system()} {platform.machine()}, load {load} at the beginning |\n"
        f"| versions | {versions()} |\n"
    )


def run(name: str, keys: list[str]) -> tuple[bool, str]:
    """Run a script; whether it succeeded, and its section of the report."""
    start = time.perf_counter()
    command = [sys.executable, str(FOLDER / f"{name}.py"), *keys]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    minutes = (time.perf_counter() - start) / 60
    line = shlex.join(["python", f"scripts/{name}.py", *keys])
    failure = (
        "" if done.returncode == 0 else f"\nfailed with code {done.returncode}:\n{done.stderr}"
    )
    section = f"\n## {name}\n\n`{line}`, {minutes:.1f} minutes\n\n```\n{done.stdout}{failure}```\n"
    return done.returncode == 0, section


def main() -> None:
    """Run all scripts and write the report."""
    merged = OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli(sys.argv[1:]))
    options = OmegaConf.to_object(merged)
    assert isinstance(options, Options)
    for name in (*options.scripts, *options.keys):
        if not (FOLDER / f"{name}.py").is_file():
            sys.exit(f"{name}: no such script; expected one of {', '.join(NAMES)}")
    report, failed = head(), []
    out = Path(options.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    for name in options.scripts:
        succeeded, section = run(name, list(options.keys.get(name, ())))
        report += section
        failed += [name] * (not succeeded)
        write_text(out, report)
        print(f"{name}: {'done' if succeeded else 'failed'}", flush=True)
    print(out)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; see {out}")


if __name__ == "__main__":
    main()
