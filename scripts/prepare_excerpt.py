"""Unpack the six-second excerpt of a song that is part of the stempeg wheel.

    python scripts/prepare_excerpt.py out=data/excerpt

writes a copy of the stem file, `<out>/song/<name>.stem.mp4`, and the stems as 32-bit float files,
`<out>/stems/test/<name>/<stem>.wav`, for `data=stem_folder data.root=<out>/stems`. The excerpt is
part of "Falcon 69" by The Easton Ellises, which the MUSDB18 data set uses as well.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

from auralflow_pl.audio.reading import read_streams
from auralflow_pl.audio.writing import write_wav
from auralflow_pl.errors import InputError
from auralflow_pl.system.staging import staged_folder

STREAMS = ("mixture", "drums", "bass", "other", "vocals")  # order of the MUSDB18 stem files


def excerpt_path() -> Path:
    """Path of the stem file inside the stempeg package, which cannot be imported without ffmpeg."""
    spec = importlib.util.find_spec("stempeg")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("stempeg is not installed; pip install stempeg")
    return next((Path(spec.submodule_search_locations[0]) / "data").glob("*.stem.mp4"))


def prepare(out: Path) -> Path:
    """Write the song and its stems below `out`; return the folder of the stems."""
    source = excerpt_path()
    name = source.name.removesuffix(".stem.mp4")
    streams = read_streams(source)
    (out / "song").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, out / "song" / source.name)
    folder = out / "stems" / "test" / name
    with staged_folder(folder) as temporary:
        for stem, audio in zip(STREAMS, streams, strict=True):
            write_wav(temporary / f"{stem}.wav", audio.samples, audio.sample_rate, "FLOAT")
    return folder


if __name__ == "__main__":
    arguments = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    if set(arguments) - {"out"}:
        sys.exit(f"error: {' '.join(sys.argv[1:])}: expected out=<folder>")
    try:
        print(prepare(Path(arguments.get("out", "data/excerpt"))))
    except (InputError, OSError) as error:
        sys.exit(f"error: {error}")
