"""Figures, spectrogram images and HTML pages with players. Knows no scores.

May import `audio`, `signal` and `checks`.
Start with `page.html_page` and `figures`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auralflow_pl.system.lazy import attach

if TYPE_CHECKING:
    from auralflow_pl.report.figures import spectrogram_comparison, waveform_comparison
    from auralflow_pl.report.listening import write_listening_page
    from auralflow_pl.report.page import html_page
else:
    __getattr__, __dir__ = attach(__name__)

__all__ = ["html_page", "spectrogram_comparison", "waveform_comparison", "write_listening_page"]
