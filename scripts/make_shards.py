"""Write the tracks of a data set into shards, for `data=shards`.

python scripts/make_shards.py url=s3://bucket/songs data=[data=stem_folder,data.root=songs]
    [shard_gb=1] [subtype=PCM_16] [options.endpoint_url=https://storage.example.org]

`data` has the keys of the data set, as `train` takes them. `url` is a folder or an address of
fsspec. There, tar files appear that WebDataset reads too, `<split>-<number>.tar`, and when all are
written their table, `index.jsonl`. Tracks keep their sample rate, so they must have that of the
training. With `subtype=FLOAT` samples beyond full scale are kept, in twice the space.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from auralflow_pl.config.compose import compose
from auralflow_pl.config.instantiate import build
from auralflow_pl.data.shards.store import Store
from auralflow_pl.data.shards.writing import ShardWriter, write_shards
from auralflow_pl.data.tracks import SPLIT_NAMES, NoTracksError, Track, TrackSource
from auralflow_pl.errors import InputError
from auralflow_pl.system.progress import Progress


@dataclass
class Options:
    """Options of the command line."""

    url: str = "???"
    data: list[str] = field(default_factory=list)
    shard_gb: float = 1.0
    subtype: str = "PCM_16"
    options: Any = None


def tracks_of(source: TrackSource) -> list[Track]:
    """All tracks, split by split."""
    found = []
    for split in SPLIT_NAMES:
        try:
            found += source.tracks(split)
        except NoTracksError as error:
            print(error)
    return found


def main() -> None:
    """Write the shards and print how much they hold."""
    given = OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli())
    for key in ("url", "data"):
        if OmegaConf.is_missing(given, key) or not given[key]:
            raise InputError(f"missing required key: {key}; see the first lines of this script")
    options: Options = OmegaConf.to_object(given)
    writer = ShardWriter(Store(options.url, options.options), options.shard_gb, options.subtype)
    source = build(compose("train", options.data).data.source)
    source.prepare()
    tracks = tracks_of(source)
    write_shards(writer, Progress(tracks, "shards", len(tracks), unit="track"))
    hours = sum(track.frames / track.sample_rate for track in tracks) / 3600
    print(f"{len(tracks)} tracks, {hours:.1f} hours in {writer.shards} shards at {options.url}")


if __name__ == "__main__":
    try:
        main()
    except (InputError, OmegaConfBaseException, OSError) as error:
        sys.exit(f"error: {str(error).splitlines()[0]}")
