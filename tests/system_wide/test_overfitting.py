"""Every network can learn a chunk by heart with every loss: the surest sign that both work."""

import pytest
import torch

from auralflow_pl.config.instantiate import build, to_plain
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.metrics.scale_invariant import si_sdr
from auralflow_pl.separator.build import new_separator
from auralflow_pl.signal.resampling import resample
from support import composed, fitting, option_names

GAIN_DB = 15
RATE = 16000
SMALL = [
    "model.width=4",
    "model.levels=3",
    f"audio.sample_rate={RATE}",
    "stft.n_fft=1024",
    "stft.hop_length=256",
    "model.bottleneck.hidden_size=16",
    "model.bottleneck.recurrent_depth=1",
    "model.hidden_size=64",
    "model.layers=1",
]
ONE_LOSS = (
    "open_unmix",
    "spleeter",
    "dual_path",
    "attention",
    "causal",
)  # the others show the losses
PAIRS = [
    (model, loss)
    for model in option_names("model")
    for loss in option_names("loss")
    if loss != "kl_div" or model == "vae"
    if loss == "si_sdr" or model not in ONE_LOSS
]


@pytest.fixture(scope="module")
def chunk(songs):
    """Two seconds of vocals, mono, under a backing that is 11 dB louder."""
    stems = ["vocals", "drums", "bass", "other"]
    _, stems = StemFolder(songs, stems).tracks("train")[0].read()
    mono = resample(stems.mean(1, keepdim=True), 44100, RATE)
    vocals, *rest = mono[..., RATE : 3 * RATE]
    return vocals + 3 * sum(rest), vocals


@pytest.mark.parametrize("model, loss", PAIRS)
def test_a_chunk_is_learnt_within_300_steps(model, loss, chunk):
    config = composed("train", *fitting(f"model={model}", "model.dropout=0", *SMALL))
    separator = new_separator(to_plain(config), config.data.stems, trust=None)
    criterion = build(composed("train", f"loss={loss}").loss[loss])
    optimizer = torch.optim.AdamW(separator.network.parameters(), 1e-2, fused=True)
    mixture, vocals = chunk
    for step in range(300):
        separator.train()
        separation = separator.separate_chunk(mixture[None], vocals[None, None])
        optimizer.zero_grad()
        (criterion(separation) + sum(separation.penalties.values())).backward()
        optimizer.step()
        if step % 50 == 49:
            separator.eval()
            gain = si_sdr(separator(mixture).flatten(), vocals.flatten()) - si_sdr(
                mixture.flatten(), vocals.flatten()
            )
            if gain > GAIN_DB:
                return
    pytest.fail(f"gain {float(gain):.1f} dB after 300 steps, expected more than {GAIN_DB} dB")
