"""Make a smaller network for vocals from the published weights of Spleeter, to train it on.

python scripts/narrow_spleeter.py network=lstm deepest=256 songs=songs output=begin/lstm

Takes the U-Net of the vocals and keeps those channels of its deepest level that matter most for the
level above: the variance of a channel times the energy of the weights that read it, measured on the
training songs. What the other channels contribute on average goes into the bias. `network=lstm` and
`network=vae` get a bottleneck that begins (nearly) as the identity. Writes an exported model for
`init=`, and prints its SI-SDR on the validation songs beside that of the published U-Net.

Options: network=simple|lstm|vae, deepest=<channels>, hidden_size=<units of the LSTM>,
source=<weights of Spleeter>, songs=<folder with train/ and valid/>, output=<folder>.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from auralflow_pl.checkpoints.archive import write_weights
from auralflow_pl.checkpoints.contents import describe_model
from auralflow_pl.checkpoints.reading import load_checkpoint
from auralflow_pl.config.compose import compose
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.metrics.scale_invariant import si_sdr
from auralflow_pl.models.lstm import RecurrentBottleneck
from auralflow_pl.models.spleeter import Spleeter, TargetUNet
from auralflow_pl.models.vae import VariationalBottleneck
from auralflow_pl.pretrained.cache import resolve_ckpt
from auralflow_pl.separator.build import new_separator
from auralflow_pl.separator.separator import Separator

BOTTLENECKS = {
    "simple": None,
    "lstm": "auralflow_pl.models.lstm.RecurrentBottleneck",
    "vae": "auralflow_pl.models.vae.VariationalBottleneck",
}

SELU_SCALE = 1.0507009873554805  # slope of SELU above 0

LATENT_LOG_VAR = -4.0  # variance of the latent at the beginning, of values with variance 1

SHIFT = 4.0  # standard deviations by which values are moved above 0, where SELU is linear


@dataclass
class Options:
    """Options of the command line."""

    songs: str
    output: str
    network: str = "simple"
    deepest: int = 384
    hidden_size: int = 192
    source: str = "pretrained:spleeter-2stems"


def configuration() -> dict[str, Any]:
    """Configuration of a network with the U-Net of the vocals alone."""
    given = ["experiment=spleeter", "target=vocals", "model.dropout=0", "model.segment_frames=256"]
    return OmegaConf.to_container(compose("train", given), resolve=True)


def deepest_maps(separator: Separator, songs: StemFolder) -> Iterator[Tensor]:
    """Deepest maps `(cells, channels)` of the training songs."""
    found: list[Tensor] = []
    unet = separator.network.unets[0]
    hook = unet.down[-1].register_forward_hook(lambda *given: found.append(given[2]))
    for track in songs.tracks("train"):
        separator(track.read()[0], track.sample_rate)
        yield from (x.movedim(1, -1).flatten(0, -2) for x in found)
        found.clear()
    hook.remove()


def narrow(unet: TargetUNet, maps: Tensor, channels: int) -> Tensor:
    """Keep some channels of the deepest level, in place; return their numbers."""
    down, up = unet.down[-1], unet.up[0]
    energy = maps.var(0) * up.weight.square().sum((1, 2, 3))
    kept = energy.argsort(descending=True)[:channels].sort().values
    lost = torch.ones(len(energy), dtype=torch.bool)
    lost[kept] = False
    # A cell of a doubled map is reached by a quarter of the kernel.
    up.bias += torch.einsum("i,iohw->o", maps.mean(0)[lost], up.weight[lost]) / 4
    down.weight, down.bias = nn.Parameter(down.weight[kept]), nn.Parameter(down.bias[kept])
    up.weight = nn.Parameter(up.weight[kept])
    return kept


def as_identity(bottleneck: nn.Module, maps: Tensor, up: nn.ConvTranspose2d) -> None:
    """Make a bottleneck begin as the identity, a variational one together with the level above."""
    if isinstance(bottleneck, RecurrentBottleneck):
        nn.init.zeros_(bottleneck.expand.weight)
        nn.init.zeros_(bottleneck.expand.bias)
    if isinstance(bottleneck, VariationalBottleneck):
        mean, deviation = maps.mean(0), maps.std(0)
        shift = SHIFT * deviation
        for conv, scale, bias in (
            (bottleneck.mean, 1 / deviation, -mean / deviation),
            (bottleneck.log_var, torch.zeros_like(mean), torch.full_like(mean, LATENT_LOG_VAR)),
            (bottleneck.leave, deviation, shift),
        ):
            nn.init.zeros_(conv.weight)
            conv.weight[:, :, 1, 1] = torch.diag(scale)
            conv.bias.copy_(bias)
        up.bias += torch.einsum("i,iohw->o", mean - shift, up.weight) / 4
        up.weight /= SELU_SCALE


def score(separator: Separator, songs: StemFolder) -> float:
    """Mean SI-SDR of the vocals over the validation songs."""
    values = []
    for track in songs.tracks("valid"):
        mixture, stems = track.read()
        estimate = separator(mixture, track.sample_rate)[0]
        values.append(float(si_sdr(estimate, stems[songs.stems.index("vocals")]).mean()))
    return float(np.mean(values))


@torch.no_grad()
def make(options: Options) -> None:
    """Write the model and print its score."""
    songs = StemFolder(options.songs, ["vocals", "drums", "bass", "other"])
    config = configuration()
    stems = config["data"]["stems"]
    whole = new_separator(config, stems).eval()
    published = load_checkpoint(resolve_ckpt(options.source))
    whole.network.load_state_dict(
        {k: v for k, v in published.weights.items() if k.startswith("unets.0.")}
    )
    print(f"published U-Net: {score(whole, songs):.2f} dB")
    maps = torch.cat(list(deepest_maps(whole, songs)))
    unet = whole.network.unets[0]
    kept = narrow(unet, maps, options.deepest)
    print(f"{options.deepest} of its deepest channels: {score(whole, songs):.2f} dB")
    config["model"]["deepest"] = options.deepest
    if target := BOTTLENECKS[options.network]:
        config["model"]["bottleneck"] = {
            "_target_": target,
            "_partial_": True,
            "recurrent_depth": 1,
            "hidden_size": options.hidden_size,
            "input_axis": 1,
        }
    made = new_separator(config, stems).eval()
    network = made.network
    assert isinstance(network, Spleeter)
    network.load_state_dict(whole.network.state_dict(), strict=False)
    as_identity(network.unets[0].bottleneck, maps[:, kept], network.unets[0].up[0])
    parameters = sum(p.numel() for p in network.parameters())
    print(f"{options.network}, {parameters / 1e6:.2f} M parameters: {score(made, songs):.2f} dB")
    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    write_weights(output, describe_model(config, 0, False, network), network.state_dict())
    print(output)


def main() -> None:
    """Make the model that the command line asks for."""
    given = OmegaConf.merge(OmegaConf.structured(Options), OmegaConf.from_cli())
    make(OmegaConf.to_object(given))


if __name__ == "__main__":
    main()
