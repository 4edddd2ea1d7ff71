"""Several models as one: means of their estimates, with weights that songs teach."""

import numpy as np
import pytest
import torch

import auralflow_pl
from auralflow_pl.checkpoints.reading import load_checkpoint
from auralflow_pl.data.sources.stem_folder import StemFolder
from auralflow_pl.errors import InputError
from auralflow_pl.models.ensemble import MaskEnsemble
from auralflow_pl.models.unet import UNet
from auralflow_pl.publishing.combining import least_squares
from support import untrained

STEMS = ["vocals", "drums", "bass", "other"]


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """Three models of two targets, of two classes."""
    folder = tmp_path_factory.mktemp("members")
    shared = ("target=[vocals,drums]", "model.bottleneck.hidden_size=8")
    torch.manual_seed(1)
    return [
        untrained(folder / f"{number}.ckpt", f"model={model}", *shared, "model.segment_frames=64")
        for number, model in enumerate(("simple", "lstm", "spleeter"))
    ]


def given(paths):
    return f"ckpt=[{','.join(map(str, paths))}]"


@pytest.mark.parametrize(
    "keys, reduce",
    [
        ([], lambda x: x.mean(0)),
        (["weights=[0.5,0.25,0]"], lambda x: 0.5 * x[0] + 0.25 * x[1]),
    ],
)
def test_a_mean_of_masks_is_that_of_the_estimates(command, members, tmp_path, keys, reduce):
    output = tmp_path / "one"
    done = command("combine", given(members), f"output={output}", *keys)
    assert done.code == 0, done.err
    sound = torch.randn(1, 100_000) * 0.1
    settings = {"engine": "torch", "window_seconds": 60}  # a window for all
    found = auralflow_pl.load(output, **settings)(sound)
    each = torch.stack([auralflow_pl.load(path, **settings)(sound) for path in members])
    torch.testing.assert_close(found, reduce(each), rtol=0, atol=2e-6)


def test_settings_that_models_name_are_kept_if_all_name_them(command, tmp_path):
    one, two, three = (
        untrained(
            tmp_path / f"{number}.ckpt", f"model.width={width}", f"separation.speeds={speeds}"
        )
        for number, width, speeds in ((1, 4, "[1,1.2]"), (2, 5, "[1,1.2]"), (3, 4, "null"))
    )
    for pair, speeds in (((one, two), (1.0, 1.2)), ((one, three), (1.0,))):
        output = tmp_path / f"{pair[1].stem}-both"
        done = command("combine", given(pair), f"output={output}")
        assert done.code == 0, done.err
        assert auralflow_pl.load(output, engine="torch").speeds == speeds


@pytest.mark.parametrize("combine", ["median", "min", "max"])
def test_other_combinations_are_of_magnitudes(command, members, tmp_path, combine):
    output = tmp_path / "one"
    assert command("combine", given(members), f"output={output}", f"combine={combine}").code == 0
    network = auralflow_pl.load(output, engine="torch").network
    magnitude = torch.rand(2, 1, 513, 64)
    masks = network.masks(magnitude)
    expected = {"median": masks.median(0).values, "min": masks.amin(0), "max": masks.amax(0)}
    torch.testing.assert_close(network(magnitude).mask, expected[combine])


def test_fitted_weights_have_the_least_error(command, members, songs, tmp_path):
    output = tmp_path / "one"
    keys = [given(members), f"output={output}", f"fit={songs}", "band_edges=[500,4000]"]
    done = command("combine", *keys, "split=test")
    assert done.code == 0, done.err
    assert "weights (targets x bands) by model: [[[" in done.out
    weights = np.array(load_checkpoint(output).config["model"]["weights"])
    assert weights.shape == (3, 2, 3)
    assert weights.min() >= 0
    assert weights.sum(0).max() <= 1.001
    errors = [error(path, songs) for path in (output, *members[:2])]
    assert errors[0] < min(errors[1:])


def error(path, songs):
    """Squared error of the vocals over the energy of the vocals, mean over songs."""
    separator, found = auralflow_pl.load(path, engine="torch", window_seconds=60), []
    for track in StemFolder(songs, STEMS).tracks("test"):
        mixture, stems = (sound.mean(-2, keepdim=True) for sound in track.read())
        wrong = separator(mixture, track.sample_rate)[0] - stems[0]
        found.append(float(wrong.square().sum() / stems[0].square().sum()))
    return np.mean(found)


def test_least_squares_find_the_weights_of_a_known_mixture():
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((3, 500))
    wanted = np.array([0.2, 0.5, 0.0]) @ parts
    every = np.vstack([parts, wanted])
    np.testing.assert_allclose(least_squares(every @ every.T), [0.2, 0.5, 0], atol=1e-9)
    every[3] = 3 * parts[0]
    np.testing.assert_allclose(least_squares(every @ every.T), [1, 0, 0], atol=1e-9)
    np.testing.assert_allclose(least_squares(np.zeros((4, 4))), [1 / 3] * 3)


def test_mistakes(command, members, tmp_path):
    output = f"output={tmp_path / 'one'}"

    def told(*keys):
        done = command("combine", *keys, output)
        assert done.code == 1
        assert not (tmp_path / "one").exists()
        return done.error

    assert "expected two or more models" in told(f"ckpt={members[0]}")
    other = untrained(tmp_path / "a.ckpt", "target=vocals")
    assert "separates vocals, and " in told(given([members[0], other]))
    other = untrained(tmp_path / "b.ckpt", "target=[vocals,drums]", "stft.hop_length=128")
    assert "its stft is " in told(given([members[0], other]))
    assert "expected 3 numbers" in told(given(members), "weights=[1,2]")
    assert "expected 3 numbers" in told(given(members), "weights=[1,2,-1]")
    assert "combine=maen" in told(given(members), "combine=maen")
    assert "fit: makes the weights" in told(given(members), "fit=songs", "combine=max")
    assert "band_edges" in told(given(members), "band_edges=[5000,100]")


def test_members_keep_their_reach():
    def member(levels):
        return lambda targets: UNet(width=1, levels=levels, n_fft=64, targets=targets)

    both = MaskEnsemble([member(1), member(3)])
    assert both.frame_multiple == 8
    assert both.frame_reach == UNet(width=1, levels=3, n_fft=64).frame_reach
    assert both.bounded
    assert not MaskEnsemble([member(1), member(3)], weights=[1, 0.5]).bounded
    with pytest.raises(InputError, match="1 members, combine=mean: expected at least two"):
        MaskEnsemble([member(1)])
