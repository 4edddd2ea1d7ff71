"""MoisesDB (Pereira et al., 2023): songs in eleven stems, each the sum of one file or more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from auralflow_pl.data.sources.multitracks import Multitracks


class MoisesDB(Multitracks):
    """MoisesDB: `<root>/<song>/data.json` and `<root>/<song>/<stem>/<id>.wav`."""

    kinds = (
        "vocals", "bass", "drums", "guitar", "other_plucked", "percussion", "piano", "other_keys",
        "bowed_strings", "wind",
    )  # fmt: skip
    place = "<song>/data.json and <song>/<stem>/<id>.wav"

    def metadata(self, folder: Path) -> Path:
        """Path of `data.json`."""
        return folder / "data.json"

    def listed(self, content: Any, folder: Path) -> Iterator[tuple[str, str]]:  # noqa: ARG002
        """Stem and path of each file in `data.json`."""
        for stem in content["stems"]:
            for file in stem["tracks"]:
                yield stem["stemName"], f"{stem['stemName']}/{file['id']}.{file['extension']}"
