"""Progress bars for the separation of several files, with speed and remaining time."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from auralflow_pl.errors import printable
from auralflow_pl.stems.inputs import InputFile
from auralflow_pl.system.progress import Progress, is_redrawn

BAR_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {remaining} left{postfix}"


class ProgressBars:
    """Progress bars: one for each file in work, and a total one for several files.

    A log has only the total one. Files are weighted by their size in bytes. The class is safe for
    use by several threads.

    Args:
        jobs: all files.
        stop: once set, progress callbacks return False.
    """

    def __init__(self, jobs: Sequence[InputFile], stop: threading.Event) -> None:
        self.stop, self.count = stop, len(jobs)
        self.sizes = {job: float(job.size) for job in jobs}
        self.shares = dict.fromkeys(jobs, 0.0)
        self.bars: dict[InputFile, Progress] = {}
        self.finished = 0
        total = sum(self.sizes.values())
        self.bar = Progress(total=total, bar_format=BAR_FORMAT, disable=self.count == 1)
        self.bar.set_description_str(f"0 of {self.count} files")
        self.lock = threading.Lock()

    def __enter__(self) -> ProgressBars:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.bar.close()

    def follow(self, job: InputFile) -> Callable[[float, float | None], bool]:
        """Open a bar for a job and return its progress callback, which takes seconds of audio."""
        started = time.monotonic()
        hidden = self.count > 1 and not is_redrawn(sys.stderr)
        bar = Progress(total=1.0, bar_format=BAR_FORMAT, delay=0.5, disable=hidden)
        bar.set_description_str(printable(job.track))
        self.bars[job] = bar

        def report(done: float, total: float | None) -> bool:
            share = min(1.0, done / total) if total else 0.0
            speed = done / max(1e-9, time.monotonic() - started)
            with self.lock:
                bar.set_postfix_str(f"{done:.0f} s done, {speed:.1f} times real time")
                bar.update(share - bar.n)
                self.advance(job, share)
            return not self.stop.is_set()

        return report

    def advance(self, job: InputFile, share: float) -> None:
        """Move the total bar to a job's share, from 0 to 1; the caller holds the lock."""
        self.bar.update(self.sizes[job] * (share - self.shares[job]))
        self.shares[job] = share

    def finish(self, job: InputFile, line: str) -> None:
        """Close the bar of a job and print its result line.

        The failure of a single file is not printed, since an error reports it.
        """
        with self.lock:
            if job in self.bars:
                self.bars.pop(job).close()
            self.advance(job, 1.0)
            self.finished += 1
            self.bar.set_description_str(f"{self.finished} of {self.count} files")
            if self.count > 1 or not line.startswith("failed"):
                Progress.write(printable(line))
