"""Read and write sound files: libsndfile for most formats, FFmpeg (PyAV) for the others.

May import `signal` and `system`; knows nothing of stems, data sets or networks.
Start with `reading.read_audio`, which decodes a whole file, and `writing.SoundWriter`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auralflow_pl.system.lazy import attach

if TYPE_CHECKING:
    from auralflow_pl.audio.checks import RATES_HZ
    from auralflow_pl.audio.reading import (
        AUDIO_SUFFIXES,
        DecodedAudio,
        Header,
        read_audio,
        read_header,
        read_span,
    )
    from auralflow_pl.audio.writing import Encoding, SoundWriter, choose_encoding, write_wav
else:
    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "AUDIO_SUFFIXES",
    "RATES_HZ",
    "DecodedAudio",
    "Encoding",
    "Header",
    "SoundWriter",
    "choose_encoding",
    "read_audio",
    "read_header",
    "read_span",
    "write_wav",
]
