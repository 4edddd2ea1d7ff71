"""The command `publish`: an archive and the registry entry that leads to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from auralflow_pl.audio.staging import check_writable, staged
from auralflow_pl.card import find_scores, hours_heard
from auralflow_pl.config import PublishKeys, config_dir, flat_keys, plain, validated
from auralflow_pl.errors import InputError
from auralflow_pl.export import Model, export_weights, load_model
from auralflow_pl.fetch import digest_of
from auralflow_pl.pretrained import located
from auralflow_pl.registry import FORMAT, NAME, VARIABLE, Entry, read_registry
from auralflow_pl.strict_yaml import plainly

HEADER = "# A registry of auralflow_pl: pass it as registries=<this file>, or see docs/models.md.\n"
NEXT = """{archive}: {size} bytes, SHA-256 {sha256}
{registry}: the entry {name}, which can be used at once:
  {variable}={registry} auralflow separate ckpt=pretrained:{name} input=song.mp3
{upload}"""
UPLOAD = """To share it: upload {archive} as it is, put its address in front of the sources of
  {registry} (or repeat with sources=[https://...] overwrite=true), and pass that file on."""


def publish(config: DictConfig) -> Path:
    """Make the archive and the registry entry of a model; returns the registry.

    Raises:
        InputError: the model cannot be loaded or written, the entry would be no valid one, or
            there is something under its name.
    """
    config = plain(validated(config, PublishKeys))
    name, output = config["name"], Path(config["output"])
    if not NAME.fullmatch(name):
        raise InputError(
            f"name={plainly(name)}: not a name; use up to 64 letters, digits, - and _, as in "
            "vae-vocals"
        )
    archive, registry = output / f"{name}.zip", output / f"{name}.yaml"
    for path in (archive, registry):
        if path.exists() and not config["overwrite"]:
            raise InputError(f"{path}: is there already; pass another name or overwrite=true")
    check_writable(output)
    ckpt = best_of(located(config["ckpt"], config["registries"]))
    model = load_model(ckpt, config["trust"], config["licence"])
    with staged(output) as temporary:
        export_weights(model, temporary / archive.name, config["half"])
        entry = described(config, model, ckpt, temporary / archive.name)
        content = {"format": FORMAT, "models": {name: entry}}
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
        (temporary / registry.name).write_text(HEADER + text, encoding="utf-8")
        checked = proved(temporary / registry.name, output)
    print(next_steps(checked, archive, registry, bool(config["sources"])))
    return registry


def proved(written: Path, output: Path) -> Entry:
    """The entry as those will read it who use the registry.

    Raises:
        InputError: it is not valid.
    """
    try:
        (entry,) = read_registry(written)
    except InputError as error:
        raise InputError(str(error).replace(str(written.parent), str(output))) from None
    return entry


def best_of(ckpt: Path) -> Path:
    """The best checkpoint of a run folder, else its last; anything else as it is."""
    folder = ckpt / "checkpoints"
    if not folder.is_dir():
        return ckpt
    for name in ("best.ckpt", "last.ckpt"):
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"ckpt={ckpt}: a run without best.ckpt and last.ckpt in checkpoints/")


def described(config: Mapping[str, Any], model: Model, ckpt: Path, archive: Path) -> dict[str, Any]:
    """The registry entry, as plain values."""
    sources = config["sources"]
    optional = {
        "description": config["description"],
        "metrics": metrics_of(ckpt, model.separator.targets),
    }
    return {
        "targets": list(model.separator.targets),
        "architecture": config["architecture"]
        or architecture_of(model.description["config"]["model"]),
        "data": config["trained_on"] or data_of(model.description),
        "licence": config["licence"],
        "size": archive.stat().st_size,
        "sha256": digest_of(archive),
        "sources": [*([sources] if isinstance(sources, str) else sources), archive.name],
        **{key: value for key, value in optional.items() if value},
    }


def data_of(description: Mapping[str, Any]) -> str:
    """What a model learned from, as far as its checkpoint knows."""
    config, step = description["config"], description["step"]
    hours = hours_heard(config, step)
    heard = f", about {hours:.3g} hours heard" if hours else ""
    return f"{config['data'].get('name') or 'not known'}, {step} steps{heard}"


def architecture_of(model: Mapping[str, Any]) -> str:
    """The option of `configs/model` that a network is most like, or else the name of its class."""
    ours = scalars(OmegaConf.create(dict(model)))
    differences = {}
    for path in sorted((config_dir() / "model").glob("[!_]*.yaml")):
        theirs = scalars(option(path))
        if classes(theirs) == classes(ours):
            differences[path.stem] = sum(ours.get(k, v) != v for k, v in theirs.items())
    if not differences:
        return str(model["_target_"]).rpartition(".")[2]
    return min(differences, key=lambda name: differences[name])


def option(path: Path) -> DictConfig:
    """An option of a group on top of those in its defaults."""
    node = OmegaConf.load(path)
    names = [name for name in node.pop("defaults", []) if name != "_self_"]
    return OmegaConf.merge(*(option(path.with_name(f"{name}.yaml")) for name in names), node)


def scalars(node: DictConfig) -> dict[str, Any]:
    """Values by dotted key, without interpolations and nodes."""
    found = {}
    for key in flat_keys(node):
        parent, _, last = key.rpartition(".")
        holder = OmegaConf.select(node, parent) if parent else node
        if not OmegaConf.is_interpolation(holder, last) and not OmegaConf.is_config(holder[last]):
            found[key] = holder[last]
    return found


def classes(values: Mapping[str, Any]) -> dict[str, Any]:
    """The `_target_`s among values."""
    return {key: value for key, value in values.items() if key.endswith("_target_")}


def metrics_of(ckpt: Path, targets: Sequence[str]) -> list[dict[str, Any]]:
    """What the evaluations of a model measured, as far as a registry has it: without ceilings."""
    return [
        metric
        | {"values": [{k: v for k, v in one.items() if k != "oracle"} for one in metric["values"]]}
        for metric in find_scores(ckpt, targets)
    ]


def next_steps(entry: Entry, archive: Path, registry: Path, placed: bool) -> str:
    """What was made, and what can be done with it."""
    names = {"archive": archive, "registry": registry, "name": entry.name, "variable": VARIABLE}
    upload = f"Upload {archive} to the sources that you named, and pass {registry} on."
    return NEXT.format(
        **names,
        size=entry.size,
        sha256=entry.sha256,
        upload=upload if placed else UPLOAD.format(**names),
    )
