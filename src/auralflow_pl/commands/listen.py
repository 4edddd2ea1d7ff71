"""The command `listen`: a page of songs with the sounds of several models, also blind."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf

from auralflow_pl.checkpoints.reading import load_checkpoint
from auralflow_pl.checks.values import one_of
from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.config.names import literal
from auralflow_pl.config.schema import ListenKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import InputError, printable
from auralflow_pl.evaluation.source import find_source
from auralflow_pl.gallery.ballots import read_ballots, tally_lines
from auralflow_pl.gallery.page import (
    SOUND_KINDS,
    GalleryOptions,
    check_gallery_file,
    gallery_page,
    songs_of_all,
)
from auralflow_pl.gallery.songs import (
    GallerySong,
    songs_of_estimates,
    songs_of_files,
    songs_of_folder,
    songs_of_tracks,
)
from auralflow_pl.gallery.subjects import (
    NamedEntry,
    StemFolders,
    Subject,
    find_subjects,
    model_sums,
    named_entries,
)
from auralflow_pl.pretrained.cache import resolve_ckpt
from auralflow_pl.report.page import page_file
from auralflow_pl.separator.separator import Separator
from auralflow_pl.stems.inputs import find_inputs
from auralflow_pl.stems.loading import load_models
from auralflow_pl.stems.outputs import OutputTemplate
from auralflow_pl.system.device import choose_device
from auralflow_pl.system.files import write_text

log = logging.getLogger(__name__)

FEWEST_SECONDS = 1.0


def listen(config: DictConfig) -> Path | None:
    """Write a page of songs and print its path, or print what listeners chose on such pages.

    Returns:
        path of the page; None if `choices` are given.

    Raises:
        InputError: the configuration is invalid, there are no common songs, a sound cannot be
            read, or the page cannot be written.
    """
    config = validate(config, ListenKeys)
    if config.choices is not None:
        print_tally(config)
        return None
    options = gallery_options(config)
    entries = named_entries(text_list(config, "models"))
    if config.blind and len(entries) < 2:
        raise InputError("blind=true: nothing to choose from; pass two or more models")
    page = page_file(config.output, Path("listen.html"))
    check_gallery_file(page)
    device = choose_device(config.device)

    def load(entry: str) -> tuple[Separator, torch.device]:
        keys = ("separation", "precision", "engine", "registries", "trust")
        one = {key: config[key] for key in keys} | {"ckpt": literal(entry)}
        models = load_models(OmegaConf.create(one), device)
        if len(models) != 1:
            raise InputError(f"models={entry}: holds several models; pass them one by one")
        return models[0].separator, device

    subjects = find_subjects(entries, load)
    songs = songs_of_all(find_songs(config, entries, subjects, page), subjects, config.songs)
    write_text(page, gallery_page(songs, subjects, options))
    print(printable(str(page)))
    return page


def print_tally(config: DictConfig) -> None:
    """Print the tally of the files `choices`."""
    if config.models is not None:
        raise InputError("choices: are counted without models; pass choices=... alone")
    ballots = read_ballots([Path(path) for path in text_list(config, "choices")])
    print(*map(printable, tally_lines(ballots)), sep="\n")


def text_list(config: DictConfig, key: str) -> list[str]:
    """The texts of a key that holds one or several.

    Raises:
        InputError: it holds none, or something else.
    """
    value = to_plain(config)[key]
    if value is None:
        raise InputError(
            f"missing required key: {key}; pass folders of stems, runs or checkpoints, as in "
            "auralflow listen separated/"
        )
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise InputError(f"{key}={value!s:.60}: expected one or several names")
    return texts


def gallery_options(config: DictConfig) -> GalleryOptions:
    """Settings of the page.

    Raises:
        InputError: an unknown format, or excerpts too short for a loudness.
    """
    one_of("format", config.format, SOUND_KINDS)
    if config.seconds < FEWEST_SECONDS:
        raise InputError(f"seconds={config.seconds}: expected {FEWEST_SECONDS:g} or more")
    given = [key for key in ("data", "truth", "input") if config[key] is not None]
    if len(given) > 1:
        raise InputError(f"{', '.join(given)}: name the songs twice; pass one of them")
    targets = None if config.target is None else text_list(config, "target")
    return GalleryOptions(
        config.seconds,
        config.offset,
        config.format,
        config.max_mb,
        config.blind,
        config.seed,
        targets,
    )


def find_songs(
    config: DictConfig, entries: list[NamedEntry], subjects: list[Subject], page: Path
) -> list[GallerySong]:
    """The songs of the keys `data`, `truth` or `input`; else those of the models.

    Without these keys, the songs are those of the folders of estimates, or, if there is a model,
    those of the data set that the first one was trained on.
    """
    if config.truth is not None:
        return songs_of_folder(Path(config.truth), "truth")
    if config.input is not None:
        template = OutputTemplate.of(f"{page.with_suffix('')}")
        return songs_of_files(find_inputs(to_plain(config)["input"], template))
    models = [one.entry for one in entries if one.is_model]
    if config.data is None and not models:
        return songs_of_estimates([one.files for one in subjects if isinstance(one, StemFolders)])
    checkpoint = None
    if config.data is None:
        checkpoint = load_checkpoint(resolve_ckpt(models[0], to_plain(config)["registries"]))
    _, source = find_source(config, checkpoint)
    node = config.data if checkpoint is None else checkpoint.config["data"]
    plain = to_plain(node) if OmegaConf.is_config(node) else dict(node)
    groups = {**(plain.get("groups") or {}), **model_sums(subjects)}
    return songs_of_tracks(source.tracks(config.split), source.stems, groups)
