"""Figures that compare sounds, jobs of a sweep, and levels of stems."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from torch import Tensor

from auralflow_pl.errors import printable
from auralflow_pl.signal.stft import STFT

TICKS_HZ = (50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)


def spectrogram_comparison(
    sounds: Mapping[str, Tensor],
    sample_rate: int,
    title: str = "",
    n_fft: int = 4096,
    range_db: float = 80.0,
) -> Figure:
    """Draw spectrograms below each other, with a logarithmic frequency axis and one colour scale.

    Args:
        sounds: waveforms `(channels, time)` or `(time,)` of equal length by label; channels are
            averaged.
        sample_rate: in Hz.
        title: title of the figure.
        n_fft: points of the transform; consecutive frames overlap by 7/8.
        range_db: range of the colour scale in dB, below the loudest bin of all panels.
    """
    stft = STFT(n_fft, n_fft, n_fft // 8)
    levels = {}
    for label, sound in sounds.items():
        magnitude = stft(torch.atleast_2d(sound.detach().cpu()).mean(0)).abs() / (n_fft / 4)
        levels[label] = 20 * torch.log10(magnitude + 1e-10).numpy()
    top = max(float(level.max()) for level in levels.values())
    figure = Figure(figsize=(11, 1 + 2.4 * len(levels)), layout="constrained")
    figure.suptitle(title)
    panels = np.atleast_1d(figure.subplots(len(levels), 1, sharex=True, sharey=True))
    frequencies = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    for panel, (label, level) in zip(panels, levels.items(), strict=True):
        times = np.arange(level.shape[1]) * stft.hop_length / sample_rate
        image = panel.pcolormesh(
            times, frequencies, level, vmin=top - range_db, vmax=top, cmap="magma", rasterized=True
        )
        panel.set(title=label, ylabel="Hz", yscale="log", ylim=(40, sample_rate / 2))
        shown = [tick for tick in TICKS_HZ if tick < sample_rate / 2]
        panel.set_yticks(
            shown, [f"{tick // 1000}k" if tick >= 1000 else str(tick) for tick in shown]
        )
        panel.minorticks_off()
    panels[-1].set_xlabel("seconds")
    figure.colorbar(image, ax=list(panels), label="dB re full scale", pad=0.01)
    return with_plain_texts(figure)


def waveform_comparison(sounds: Mapping[str, Tensor], sample_rate: int, title: str = "") -> Figure:
    """Draw waveforms below each other on one scale, as minimum and maximum of short intervals.

    Args:
        sounds: waveforms `(channels, time)` or `(time,)` of equal length by label; channels are
            averaged.
        sample_rate: in Hz.
        title: title of the figure.
    """
    waves = {k: torch.atleast_2d(v.detach().cpu()).mean(0).numpy() for k, v in sounds.items()}
    top = max(1e-3, *(float(np.abs(wave).max()) for wave in waves.values()))
    figure = Figure(figsize=(11, 1 + 1.6 * len(waves)), layout="constrained")
    figure.suptitle(title)
    panels = np.atleast_1d(figure.subplots(len(waves), 1, sharex=True, sharey=True))
    for panel, (label, wave) in zip(panels, waves.items(), strict=True):
        size = max(1, len(wave) // 2000)
        columns = wave[: len(wave) // size * size].reshape(-1, size)
        times = np.arange(len(columns)) * size / sample_rate
        panel.fill_between(times, columns.min(1), columns.max(1), linewidth=0.3)
        panel.set(title=label, ylabel="amplitude", ylim=(-top, top))
        panel.grid(alpha=0.3)
    panels[-1].set(xlabel="seconds", xlim=(0, times[-1] if len(times) > 1 else 1))
    return with_plain_texts(figure)


def with_plain_texts(figure: Figure) -> Figure:
    """A figure whose titles and labels are shown as they are: `$` begins no formula."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    return figure


def sweep_plot(
    keys: Sequence[str],
    jobs: Sequence[tuple[Mapping[str, str], float]],
    label: str = "score in dB",
    lower_is_better: bool = False,
) -> Figure:
    """Draw parallel coordinates of a sweep, and the best score so far.

    Args:
        keys: keys that are varied.
        jobs: values by key and score of each job, in the order of execution.
        label: name or unit of the score.
        lower_is_better: whether the best score is the lowest.
    """
    scores = np.array([score for _, score in jobs])
    figure = Figure(figsize=(5 + 1.6 * len(keys), 4.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1 + len(keys), 3))
    low, high = scores.min(), scores.max()
    heights = (scores - low) / max(high - low, 1e-9)
    columns = []
    for position, key in enumerate(keys):
        column = [values.get(key, "") for values, _ in jobs]
        places, marks = axis_places(column)
        columns.append(places)
        left.axvline(position, color="0.7")
        for mark, place in marks.items():
            left.text(position - 0.04, place, mark, ha="right", va="center", fontsize=8)
    left.axvline(len(keys), color="0.7")
    for mark, place in ((f"{low:.4g}", 0.0), (f"{high:.4g}", 1.0)):
        left.text(len(keys) + 0.04, place, mark, ha="left", va="center", fontsize=8)
    colours = colormaps["viridis"](1 - heights if lower_is_better else heights)
    for line, colour in zip(np.array([*columns, heights]).T, colours, strict=True):
        left.plot(range(len(keys) + 1), line, color=colour, marker="o", markersize=3)
    left.set_xticks(range(len(keys) + 1), [*keys, label])
    left.set(yticks=[], xlim=(-0.6, len(keys) + 0.4))
    left.spines[:].set_visible(False)
    best = (np.minimum if lower_is_better else np.maximum).accumulate(scores)
    right.step(range(1, len(scores) + 1), best, where="post", label="best so far")
    right.plot(range(1, len(scores) + 1), scores, "o", label="job")
    right.set(xlabel="finished jobs", ylabel=label)
    right.xaxis.get_major_locator().set_params(integer=True)
    right.grid(alpha=0.3)
    right.legend()
    return with_plain_texts(figure)


def axis_places(column: Sequence[str]) -> tuple[list[float], dict[str, float]]:
    """Positions of values on an axis from 0 to 1, and positions of the labels that are shown.

    Up to six different values, and all values that are not numbers, are spaced evenly. More numbers
    are placed to scale, on a logarithmic axis if they are positive and the largest is more than
    twenty times the smallest.
    """
    labels = sorted(set(column), key=ordered_values)
    places = dict(zip(labels, np.linspace(0, 1, len(labels)), strict=True))
    numbers = np.array([ordered_values(label)[0] for label in labels])
    if len(labels) > 6 and np.isfinite(numbers).all():
        if numbers[0] > 0 and numbers[-1] > 20 * numbers[0]:
            numbers = np.log(numbers)
        scaled = (numbers - numbers[0]) / (numbers[-1] - numbers[0])
        places = dict(zip(labels, scaled, strict=True))
        labels = [labels[0], labels[-1]]
    elif len(labels) == 1:
        places = {labels[0]: 0.5}
    return [float(places[label]) for label in column], {short_name(x): places[x] for x in labels}


def short_name(label: str) -> str:
    """A number with at most four digits; any other text unchanged."""
    return f"{float(label):.4g}" if math.isfinite(ordered_values(label)[0]) else label


def ordered_values(label: str) -> tuple[float, str]:
    """Sort key of a label: numbers by value, then other texts alphabetically."""
    try:
        return float(label), ""
    except ValueError:
        return float("inf"), label


def figure_pixels(figure: Figure, dpi: int = 70) -> np.ndarray:
    """Render a figure to a uint8 array `(height, width, 3)`."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def level_map(rows: Sequence[tuple[str, str, float, float]]) -> Figure:
    """Draw level and coverage of every stem of every track as two coloured tables.

    Args:
        rows: track, stem, level in dB re full scale, and share of the time in which the stem is
            audible.
    """
    tracks = list(dict.fromkeys(row[0] for row in rows))
    stems = list(dict.fromkeys(row[1] for row in rows))
    values = np.full((2, len(tracks), len(stems)), np.nan)
    for track, stem, level, coverage in rows:
        values[:, tracks.index(track), stems.index(stem)] = level, 100 * coverage
    figure = Figure(figsize=(5 + 1.3 * len(stems), 1.6 + 0.22 * len(tracks)), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    titles = (("level", "dB re full scale", -60, 0), ("coverage", "% of the time", 0, 100))
    for panel, table, (title, unit, low, high) in zip(panels, values, titles, strict=True):
        image = panel.imshow(table, vmin=low, vmax=high, cmap="viridis", aspect="auto")
        panel.set_title(title)
        panel.set_xticks(range(len(stems)), stems, rotation=30, ha="right")
        panel.set_yticks(range(len(tracks)), map(printable, tracks), fontsize=7)
        for (row, column), value in np.ndenumerate(table):
            dark = value < (low + high) / 2
            panel.text(
                column,
                row,
                f"{value:.0f}",
                ha="center",
                va="center",
                fontsize=7,
                color="white" if dark else "black",
            )
        figure.colorbar(image, ax=panel, label=unit)
    return with_plain_texts(figure)
