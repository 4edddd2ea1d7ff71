"""Train one network on a packed data file for some minutes, and leave files that travel back.

    python scripts/gpu/train.py data=pack/sound.zip run=runs/gpu out=<folder> minutes=8
        [back=<folder>] [file_mib=16] [files=8] [overrides=[model=simple,target=vocals,...]]

`data` is a file of pack.py. The training is that of `auralflow train` with `data=packed` and
`resume=auto`: called again, it goes on in the run folder `run`, which stays on the machine, for
`minutes` more. In `out` it leaves the model with weights in float16 (`model.zip`, which
`ckpt=<out>/model.zip` or `init=<out>/model.zip` takes) and, if there is room in `files` files of
`file_mib`, the last checkpoint, with optimizer and averages. What is larger than a file is cut into
parts `<name>.part<number>`, to be joined by `cat`. On a machine without the run folder, `back` is
such an `out`: its checkpoint is put into `run`, and the training goes on from it.
"""

from __future__ import annotations

import json
import math
import shutil
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from auralflow_pl.checks.values import positive
from auralflow_pl.config.compose import compose
from auralflow_pl.errors import InputError, one_line
from auralflow_pl.publishing.exporting import export_weights, load_model
from auralflow_pl.system.files import write_whole
from auralflow_pl.system.staging import new_folder, staged_folder
from auralflow_pl.training.run import train_run

MIB = 2**20
FOLDER_KEYS = ("root", "folders", "songs")  # keys of a set that name folders
MODEL, CHECKPOINT = "model.zip", "last.ckpt"


@dataclass
class Options:
    """Options of the command line."""

    data: str = "???"
    run: str = "???"
    out: str = "???"
    minutes: float = 8.0
    back: str | None = None
    file_mib: float = 16.0
    files: int = 8
    overrides: list[str] = field(default_factory=list)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a file of pack.py, and describe its data set as `<folder>/configs/data/packed.yaml`.

    Raises:
        InputError: it is no such file.
    """
    if folder.is_dir():
        return
    try:
        with zipfile.ZipFile(archive) as file, new_folder(folder) as temporary:
            file.extractall(temporary)
            packed = json.loads((temporary / "data.json").read_text(encoding="utf-8"))
            sets = {name: placed(given, folder) for name, given in packed["sets"].items()}
            content = {"defaults": ["mixed", "_self_"], **packed, "sets": sets}
            (temporary / "configs" / "data").mkdir(parents=True)
            text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
            (temporary / "configs" / "data" / "packed.yaml").write_text(text, encoding="utf-8")
    except (zipfile.BadZipFile, KeyError, ValueError, FileNotFoundError) as error:
        raise InputError(f"data={archive}: expected a sound.zip of scripts/gpu/pack.py") from error


def placed(given: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A set whose folders lie in `folder`."""

    def moved(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: moved(part) for key, part in value.items()}
        return [moved(part) for part in value] if isinstance(value, list) else str(folder / value)

    return {key: moved(v) if key in FOLDER_KEYS and v else v for key, v in given.items()}


def spent_seconds(checkpoint: Path) -> float:
    """Seconds that a training took until a checkpoint; Lightning counts them over all its legs."""
    if not checkpoint.is_file():
        return 0.0
    states = torch.load(checkpoint, map_location="cpu", weights_only=True)["callbacks"]
    elapsed = (state.get("time_elapsed") for name, state in states.items() if "Timer" in name)
    return sum(part["train"] for part in elapsed if part)


def parts_of(folder: Path, name: str) -> list[Path]:
    """The file `name` in a folder, or its parts in their order."""
    whole = folder / name
    return [whole] if whole.is_file() else sorted(folder.glob(f"{name}.part*"))


def restore(back: Path, checkpoint: Path) -> None:
    """Join the checkpoint that an earlier training left, unless the run folder has one.

    Raises:
        InputError: there is none.
    """
    if checkpoint.is_file():
        return
    parts = parts_of(back, CHECKPOINT)
    if not parts:
        raise InputError(
            f"back={back}: holds no {CHECKPOINT}; to begin with its weights, leave out back and "
            f"pass overrides=[init={back / MODEL}]"
        )
    checkpoint.parent.mkdir(parents=True, exist_ok=True)

    def join(file: Any) -> None:
        for part in parts:
            file.write(part.read_bytes())

    write_whole(checkpoint, join)


def cut(source: Path, out: Path, name: str, size: int) -> list[Path]:
    """Copy a file, in parts of `size` bytes if it is larger; return the copies."""
    if source.stat().st_size <= size:
        return [Path(shutil.copyfile(source, out / name))]
    made = []
    with source.open("rb") as file:
        while content := file.read(size):
            made.append(out / f"{name}.part{len(made):02}")
            made[-1].write_bytes(content)
    return made


def write_back(checkpoints: Path, options: Options) -> None:
    """Write the best weights in float16, and the last checkpoint if there is room.

    Raises:
        InputError: there is no checkpoint, or no room for the weights.
    """
    out, size = Path(options.out), int(options.file_mib * MIB)
    last = checkpoints / CHECKPOINT
    best = next((path for path in (checkpoints / "best.ckpt", last) if path.is_file()), None)
    if best is None:
        raise InputError(f"{checkpoints}: no checkpoint was written; raise minutes")
    with staged_folder(out) as temporary:
        work = temporary / "work"
        work.mkdir()
        print(export_weights(load_model(best, [], None), work / MODEL, "float16"))
        made = cut(work / MODEL, temporary, MODEL, size)
        if len(made) > options.files:
            raise InputError(f"files={options.files}: the weights need {len(made)} files")
        needed = -(-last.stat().st_size // size) if last.is_file() else 0
        if needed and needed <= options.files - len(made):
            made += cut(last, temporary, CHECKPOINT, size)
        else:
            print(f"no room for {last}: {needed} files; a new machine begins with init={MODEL}")
        shutil.rmtree(work)
        for name in (MODEL, CHECKPOINT):  # of an earlier leg, perhaps in other parts
            for path in parts_of(out, name) + list(out.glob(f"{name}.part*")):
                path.unlink(missing_ok=True)
    for path in made:
        print(f"{out / path.name}: {(out / path.name).stat().st_size / MIB:.2f} MiB")


def train(options: Options) -> None:
    """Train for the minutes of the options; what was reached is written also after a signal.

    Raises:
        InputError: an option or the data is invalid, or the training fails.
    """
    run = Path(options.run).absolute()
    unpack(Path(options.data), run / "packed")
    checkpoints = run / "training" / "checkpoints"
    if options.back is not None:
        restore(Path(options.back), checkpoints / CHECKPOINT)
    seconds = 60 * positive("minutes", options.minutes) + spent_seconds(checkpoints / CHECKPOINT)
    overrides = [
        "data=packed",
        f"paths.run_dir={run / 'training'}",
        "resume=auto",
        "trainer.max_epochs=-1",
        f"trainer.max_time={{seconds:{math.ceil(seconds)}}}",
        *options.overrides,
    ]
    config = compose("train", overrides, [run / "packed" / "configs"])
    try:
        train_run(config)
    finally:
        if checkpoints.is_dir():
            write_back(checkpoints, options)


def main() -> None:
    """Train as the command line says."""
    options = OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli())
    for key in ("data", "run", "out"):
        if OmegaConf.is_missing(options, key):
            raise InputError(f"missing required key: {key}; pass data=<sound.zip> run=... out=...")
    train(OmegaConf.to_object(options))


if __name__ == "__main__":
    try:
        main()
    except (InputError, OmegaConfBaseException, OSError) as error:
        sys.exit(f"error: {one_line(error)}")
