"""Samples to samples: streams of blocks, STFT, windows, resampling, loudness, Wiener filter.

May import `system`, `checks` and `errors`; no files, no networks.
Start with `stft.STFT` and `streams`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auralflow_pl.system.lazy import attach

if TYPE_CHECKING:
    from auralflow_pl.signal.resampling import resample_blocks
    from auralflow_pl.signal.stft import STFT, magnitude
    from auralflow_pl.signal.windows import WindowLayout, choose_windows, overlap_add
else:
    __getattr__, __dir__ = attach(__name__)

__all__ = ["STFT", "WindowLayout", "choose_windows", "magnitude", "overlap_add", "resample_blocks"]
