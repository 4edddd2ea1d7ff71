"""Writing of shards: the tracks of any data set into tar files, and their table at the end."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import math
import tarfile
from collections.abc import Sequence
from typing import Any

from auralflow_pl.audio.pcm import PcmFormat, decode_pcm, encode_pcm, wav_header
from auralflow_pl.checks.values import one_of, positive
from auralflow_pl.data.shards.reading import INDEX_NAME, MIXTURE, SHARD_SUBTYPES
from auralflow_pl.data.shards.store import Store
from auralflow_pl.data.tracks import Track
from auralflow_pl.errors import InputError, shown
from auralflow_pl.system.files import write_text

log = logging.getLogger(__name__)

CLIPPED_DB = 1.0  # peak above full scale from which clipping is told


class ShardWriter:
    """Writes tracks into tar files of about one size, as WebDataset reads them, and their table.

    A tar file has the members `<number>.<stem>.wav` of each track, and `<number>.json` with its
    name. The table is written by `finish`: a collection that was interrupted has none, and is
    written again from the beginning.

    Args:
        store: where to; a folder is made.
        shard_gb: size in GB from which the next tar file begins.
        subtype: `PCM_16`, with values beyond full scale clipped, or `FLOAT`.

    Raises:
        InputError: unknown subtype, or there is a table already.
    """

    def __init__(self, store: Store, shard_gb: float = 1.0, subtype: str = "PCM_16") -> None:
        self.store = store
        self.shard_bytes = positive("shard_gb", shard_gb) * 1e9
        self.subtype = one_of("subtype", subtype, SHARD_SUBTYPES)
        self.lines: list[dict[str, Any]] = []
        self.names: set[tuple[str, str]] = set()
        self.shards = 0
        self.split = ""
        self.name = ""
        self.tar: tarfile.TarFile | None = None
        if store.holds(INDEX_NAME):
            raise InputError(f"{store.url}: has a {INDEX_NAME}; choose another place or remove it")

    def add(self, track: Track) -> None:
        """Write a track.

        Raises:
            InputError: there is one of its name, or it cannot be read.
        """
        if (track.split, track.name) in self.names:
            raise InputError(
                f"{track.split}/{track.name}: a second track of this name; expected each name once "
                "in a split"
            )
        tar = self.open(track.split)
        number = f"{len(self.lines):08d}"
        digest = hashlib.blake2b(digest_size=16)
        places: dict[str, list[int]] = {}
        powers: dict[str, float] = {}
        form = PcmFormat(track.sample_rate, track.channels, self.subtype)
        names = [*track.stems, *([MIXTURE] if track.has_mixture else [])]
        for name, plane in zip(names, track.planes(), strict=True):
            if name in track.absent:
                continue
            self.warn_of_clipping(track, name, float(plane.abs().max()))
            samples = encode_pcm(plane, form)
            header = wav_header(form, len(samples))
            end = add_member(tar, f"{number}.{name}.wav", header + samples)
            places[name] = [end - len(samples), len(samples)]
            digest.update(samples)
            powers[name] = float(decode_pcm(samples, form).square().mean())
        about = {"track": track.name, "split": track.split}
        add_member(tar, f"{number}.json", json.dumps(about).encode())
        line = about | {
            "shard": self.name,
            "sample_rate": track.sample_rate,
            "frames": track.frames,
            "channels": track.channels,
            "subtype": self.subtype,
            "stems": places,
            "digest": digest.hexdigest(),
            "powers": powers,
        }
        line |= {"weight": track.weight} if track.weight != 1 else {}
        line |= {"labels": dict(track.labels)} if track.labels else {}
        self.names.add((track.split, track.name))
        self.lines.append(line)

    def warn_of_clipping(self, track: Track, stem: str, peak: float) -> None:
        """Warn of a stem that is clipped audibly."""
        if self.subtype == "PCM_16" and peak > 10 ** (CLIPPED_DB / 20):
            log.warning(
                "%s/%s: peak of %s %.1f dB above full scale, clipped by subtype=PCM_16; pass "
                "subtype=FLOAT to keep it",
                track.split,
                track.name,
                stem,
                20 * math.log10(peak),
            )

    def open(self, split: str) -> tarfile.TarFile:
        """The tar file that the next track of a split belongs to."""
        if self.tar is not None and (split != self.split or self.tar.offset >= self.shard_bytes):
            self.close()
        if self.tar is None:
            self.name = f"{split}-{self.shards:05d}.tar"
            self.split, self.shards = split, self.shards + 1
            if self.store.folder is not None:
                self.store.folder.mkdir(parents=True, exist_ok=True)
            self.file = self.store.connect().open(self.store.path(self.name), "wb")
            self.tar = tarfile.open(fileobj=self.file, mode="w|", format=tarfile.GNU_FORMAT)  # noqa: SIM115
        return self.tar

    def close(self) -> None:
        """End the tar file that is open."""
        if self.tar is not None:
            self.tar.close()
            self.file.close()
            self.tar = None

    def finish(self) -> None:
        """Write the table."""
        self.close()
        lines = "".join(json.dumps(line) + "\n" for line in self.lines)
        if self.store.folder is not None:
            write_text(self.store.folder / INDEX_NAME, lines)
        else:
            self.store.connect().pipe_file(self.store.path(INDEX_NAME), lines.encode())


def add_member(tar: tarfile.TarFile, name: str, content: bytes) -> int:
    """Add a file to a tar file, and return the byte after its content."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
    return tar.offset - (-len(content) % tarfile.BLOCKSIZE)


def write_shards(writer: ShardWriter, tracks: Sequence[Track]) -> None:
    """Write tracks in order, then the table.

    Raises:
        InputError: there are no tracks, or one cannot be read.
    """
    if not tracks:
        raise InputError(f"{shown(writer.store.url)}: no tracks to write")
    for track in tracks:
        writer.add(track)
    writer.finish()
