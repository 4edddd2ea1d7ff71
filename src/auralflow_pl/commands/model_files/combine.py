"""The command `combine`: average several models as one model."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.config.schema import CombineKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.errors import InputError, printable, shown
from auralflow_pl.pretrained.cache import resolve_ckpt
from auralflow_pl.publishing.combining import Combination, combined, fitted_weights
from auralflow_pl.publishing.exporting import check_output, export_weights, model_of, weight_format


def combine(config: DictConfig) -> Path:
    """Write an ensemble of models as one exported model, and return its path.

    Raises:
        InputError: the models cannot be loaded or combined, the songs cannot be read, or the output
            cannot be written.
    """
    config = to_plain(validate(config, CombineKeys))
    ckpt, output, trust = config["ckpt"], Path(config["output"]), config["trust"]
    if not isinstance(ckpt, list) or len(ckpt) < 2:
        raise InputError(f"ckpt={shown(ckpt)}: expected two or more models, as in [runs/a,runs/b]")
    if config["fit"] is not None and (config["weights"] or config["combine"] != "mean"):
        raise InputError("fit: makes the weights of combine=mean; remove the other keys")
    dtype = weight_format(config["dtype"], config["half"])
    check_output(output, "safetensors")
    paths = [resolve_ckpt(str(one), config["registries"]) for one in ckpt]
    way = Combination(config["combine"], config["weights"], config["band_edges"])
    checkpoint = combined(paths, way, trust)
    if config["fit"] is not None:
        songs = StemFolder(config["fit"], config["stems"])
        weights = fitted_weights(checkpoint, songs, config["split"], trust)
        print(printable(f"weights (targets x bands) by model: {weights}"))
        checkpoint = combined(paths, way._replace(weights=weights), trust)
    model = model_of(checkpoint, trust, config["licence"], paths)
    print(printable(f"{output}: {export_weights(model, output, dtype)}"))
    return output
