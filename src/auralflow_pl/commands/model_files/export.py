"""The command `export`: write a model as safetensors, ONNX or TorchScript."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from auralflow_pl.checks.values import one_of
from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.config.schema import ExportKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.errors import printable
from auralflow_pl.pretrained.cache import fetch_model, registry_entry, run_checkpoint
from auralflow_pl.publishing.exporting import (
    EXPORT_SUFFIXES,
    check_output,
    export_file,
    export_path,
    export_weights,
    load_model,
    weight_format,
)


def export(config: DictConfig) -> Path:
    """Export a checkpoint and return the path of the exported model.

    The output is verified against the checkpoint before it appears under its final name.

    Raises:
        InputError: the model cannot be loaded, exported or written.
    """
    config = validate(config, ExportKeys)
    one_of("format", config.format, EXPORT_SUFFIXES)
    dtype = weight_format(config.dtype, config.half, config.format)
    entry = registry_entry(config.ckpt, to_plain(config)["registries"])
    ckpt = fetch_model(entry) if entry else run_checkpoint(Path(config.ckpt))
    output = Path(config.output or export_path(ckpt, config.format))
    check_output(output, config.format)
    licence = config.licence or (entry.licence if entry else None)
    model = load_model(ckpt, list(config.trust), licence)
    if config.format == "safetensors":
        note = export_weights(model, output, dtype)
    else:
        note = export_file(model, config.format, output)
    print(printable(f"{output}: {note}"))
    return output
