"""The command `publish`: write the archive and the registry entry of a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.config.schema import PublishKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import InputError, printable_lines
from auralflow_pl.pretrained.cache import resolve_ckpt
from auralflow_pl.pretrained.entries import RegistryEntry
from auralflow_pl.pretrained.locations import REGISTRY_VARIABLE
from auralflow_pl.publishing.entry import check_model_name, entry_content, read_back, write_registry
from auralflow_pl.publishing.exporting import export_weights, load_model, weight_format
from auralflow_pl.publishing.hub import check_repository, hub_card, hub_source, upload
from auralflow_pl.system.files import write_text
from auralflow_pl.system.staging import check_writable, staged_folder

NEXT_STEPS = """{archive}: {size} bytes, SHA-256 {sha256}
{registry}: the entry {name}, which can be used at once:
  {variable}={registry} auralflow separate ckpt=pretrained:{name} input=song.mp3
{upload}"""

UPLOAD_STEP = """To share it: upload {archive} as it is, put its address in front of the sources of
  {registry} (or repeat with sources=[https://...] overwrite=true), and pass that file on."""


def publish(config: DictConfig) -> Path:
    """Write the archive and the registry entry of a model; return the path of the registry.

    Raises:
        InputError: the model cannot be loaded or written, the entry is invalid, or the files
            exist already.
    """
    config = to_plain(validate(config, PublishKeys))
    name, output, hub = config["name"], Path(config["output"]), config["hub"]
    check_model_name(name)
    dtype = weight_format(config["dtype"], config["half"])
    archive, registry = output / f"{name}.zip", output / f"{name}.yaml"
    card = output / f"{name}.md"
    if hub is not None:
        check_repository(hub, config["push"])
        config["sources"] = [*as_list(config["sources"]), hub_source(hub, archive.name)]
    elif config["push"]:
        raise InputError("push=true: where to? pass hub=<user>/<repository>")
    for path in (archive, registry, card) if hub else (archive, registry):
        if path.exists() and not config["overwrite"]:
            raise InputError(f"{path}: is there already; pass another name or overwrite=true")
    check_writable(output)
    ckpt = resolve_ckpt(config["ckpt"], config["registries"])
    model = load_model(ckpt, config["trust"], config["licence"])
    with staged_folder(output) as temporary:
        export_weights(model, temporary / archive.name, dtype)
        entry = entry_content(config, model, ckpt, temporary / archive.name, archive.name)
        write_registry(temporary / registry.name, name, entry)
        checked = read_back(temporary / registry.name, output)
        if hub is not None:
            text = hub_card(model.card, checked, config["base_model"])
            write_text(temporary / card.name, text)
    print(printable_lines(next_steps(checked, archive, registry, bool(config["sources"]))))
    if config["push"]:
        address = upload(
            hub,
            {archive.name: archive, registry.name: registry, "README.md": card},
            config["private"],
        )
        print(f"{address}: uploaded; ckpt=pretrained:{name} finds it with that registry")
    return registry


def as_list(sources: str | Sequence[str]) -> list[str]:
    """The key `sources` as a list."""
    return [sources] if isinstance(sources, str) else list(sources)


def next_steps(entry: RegistryEntry, archive: Path, registry: Path, placed: bool) -> str:
    """Message with the written files and how to use and share them.

    Args:
        entry: entry of the model.
        archive: archive of the model.
        registry: registry with the entry.
        placed: the user gave `sources`.
    """
    names = {
        "archive": archive,
        "registry": registry,
        "name": entry.name,
        "variable": REGISTRY_VARIABLE,
    }
    upload = f"Upload {archive} to the sources that you named, and pass {registry} on."
    return NEXT_STEPS.format(
        **names,
        size=entry.size,
        sha256=entry.sha256,
        upload=upload if placed else UPLOAD_STEP.format(**names),
    )
