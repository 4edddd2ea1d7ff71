"""How long signals are cut into windows for a network."""

from __future__ import annotations

from auralflow_pl.signal.overlap_add import Windows
from auralflow_pl.signal.stft import STFT

WINDOW_SECONDS, OVERLAP = 30.0, 0.25  # where a network does not say what it sees
SHORTEST_FRAMES, LONGEST_FRAMES = 600, 2600  # where it does: 7 s and 30 s at a hop of 512


def choose_windows(
    stft: STFT,
    frame_multiple: int,
    frame_reach: int | None,
    sample_rate: int,
    window_seconds: float | None,
    overlap: float | None,
) -> Windows:
    """How signals are cut for a network.

    Where the network says what it sees (`frame_reach`), that is the context, and a window is ten
    times as long, so that a quarter of the work is done twice; but memory sets a limit to windows,
    and contexts are at most an eighth of them. Otherwise, windows of 30 s share a quarter.

    Args:
        stft: that the network is fed with.
        frame_multiple: see `models.base.MaskEstimator`.
        frame_reach: likewise.
        sample_rate: in Hz.
        window_seconds: length of a window; None: as above.
        overlap: share of a window that neighbours have in common, two fifths of it as context on
            either side and one fifth as a cross-fade; None: as above.
    """
    align = stft.hop_length * frame_multiple
    reach = None if frame_reach is None else frame_reach * stft.hop_length
    seen = None if reach is None else reach + stft.n_fft
    if window_seconds is not None:
        time = window_seconds * sample_rate
    elif seen is not None:
        time = min(
            max(10 * seen, SHORTEST_FRAMES * stft.hop_length), LONGEST_FRAMES * stft.hop_length
        )
    else:
        time = WINDOW_SECONDS * sample_rate
    length = max(2, round(time / align)) * align
    if overlap is None and seen is not None:
        return Windows(length, min(seen, length // 8), length // 40, align)
    shared = int((OVERLAP if overlap is None else overlap) * length)
    context = 2 * shared // 5
    return Windows(length, context, shared - 2 * context, align)
