"""Whether the stems of a track make up its mixture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auralflow_pl.data.tracks import REST, Track
from auralflow_pl.errors import InputError

SUM_WARNING_DB, SUM_ERROR_DB = -30.0, -10.0  # level of mixture minus stems, relative to the mixture

REST_ERROR_DB = 0.1  # level of the rest, relative to the mixture that it is a part of

SILENT_MIXTURE_DB = -60.0  # RMS below which a mixture is not judged

HEARD_SECONDS, MOST_HEARD = 10.0, 200  # excerpts that are compared before a training


def power_to_db(power: float) -> float:
    """Level in dB of a mean square or a ratio of two; at least -200 dB."""
    return float(10 * np.log10(max(power, 1e-20)))


def mean_power(sound: np.ndarray) -> float:
    """Mean square of all samples."""
    return float(np.square(sound, dtype=np.float64).mean())


def level_in(sound: np.ndarray, mixture: np.ndarray) -> float:
    """Level of a sound relative to a mixture, in dB."""
    return power_to_db(mean_power(sound) / max(mean_power(mixture), 1e-20))


def check_stems(stems: Sequence[str]) -> None:
    """Raise InputError unless a training has stems to tell apart."""
    if len(stems) == 1:
        (stem,) = stems
        raise InputError(
            f"data.stems=[{stem}]: training would hear nothing else; name more stems, or, with "
            f"mixture files, pass data.stems=[{stem},{REST}], where {REST} is the mixture without "
            f"{stem}"
        )


def check_mixtures(tracks: Sequence[Track]) -> None:
    """Compare mixtures and stems before a training, in 10 s of at most 200 tracks.

    Training hears the sum of the stems. It should be the music that is separated later.

    Raises:
        InputError: a mixture holds more than the stems, or does not hold those that `rest` is
            without.
    """
    for track in tracks[:: -(-len(tracks) // MOST_HEARD)]:
        if not track.has_mixture:
            continue
        stems = track.stems
        given = f"data.stems=[{','.join(stems)}]"
        frames = min(track.frames, round(HEARD_SECONDS * track.sample_rate))
        start = (track.frames - frames) // 2
        mixture = track.read_mixture(start, frames).numpy()
        if power_to_db(mean_power(mixture)) < SILENT_MIXTURE_DB:
            continue
        sounds = track.read_stems(start, frames).numpy()
        where = f"{track.split}/{track.name}"
        more = level_in(mixture - sounds.sum(0), mixture)
        if more > SUM_ERROR_DB:
            raise InputError(
                f"{where}: its mixture is not the sum of {given} (difference {more:.0f} dB); pass "
                f"data.stems=[{','.join(stems)},{REST}] to train with the whole mixture, or "
                "remove the mixture files to train with the sum of these stems; "
                "auralflow doctor says more"
            )
        if REST in stems and level_in(sounds[stems.index(REST)], mixture) > REST_ERROR_DB:
            raise InputError(
                f"{where}: louder without {', '.join(s for s in stems if s != REST)} than with "
                "it, so mixture and stem do not fit (place in time, level or another song); "
                "auralflow doctor says more"
            )
