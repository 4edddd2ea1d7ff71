"""Laws of chains: their results add up, for any blocks, and mistakes are named."""

import pytest
import torch

from auralflow_pl.errors import InputError
from auralflow_pl.models.base import MaskEstimate, MaskEstimator
from auralflow_pl.models.unet import UNet
from auralflow_pl.separator.chain import Chain, Step
from auralflow_pl.separator.separator import Separator
from auralflow_pl.signal.resampling import resample
from auralflow_pl.signal.stft import STFT
from support import pieces

RATE = 8000


class Half(MaskEstimator):
    """Half of its input for every target."""

    frame_reach = 0

    def __init__(self, targets):
        super().__init__()
        self.targets = targets

    def forward(self, magnitude):
        masks = [torch.full_like(magnitude, 0.5)] * self.targets
        return MaskEstimate(torch.stack(masks, 1))


def separator(*targets, rate=RATE, channels=1, network=None):
    network = network or Half(len(targets))
    return Separator(network, STFT(256, 256, 128), targets, rate, channels, 1.024).eval()


def trained(*targets, **options):
    """A network with a view of some frames, so windows and blocks matter."""
    torch.manual_seed(len(targets))
    network = UNet(options.get("channels", 1), len(targets), n_fft=256, width=2, levels=2)
    return separator(*targets, network=network, **options)


KARAOKE = [
    Step("vocals", rest="accompaniment", keep=True),
    Step("lead", "vocals", "lead", "backing"),
    Step("drums", "accompaniment", {"a": "drums"}, "others"),
]


def karaoke(**options):
    """Three steps, of which two separate stems of the first one."""
    vocals = trained("vocals", **options)
    return Chain(KARAOKE, [vocals, vocals, trained("a", "b", rate=11025)])


@torch.no_grad()
def collected(chain, blocks, *rates):
    """All samples by name, the mixture first, each `(channels, time)`."""
    names = ("mixture", *chain.stems)
    return dict(zip(names, torch.cat(list(chain.stream(blocks, *rates)), -1), strict=True))


@pytest.mark.parametrize("rate, output_rate", [(RATE, RATE), (11025, 16000), (16000, 8000)])
@pytest.mark.parametrize("length", [1, 5000, 60000])
def test_the_leaves_of_a_chain_are_the_mixture(rate, output_rate, length):
    """Whatever the rates and channels of the models are."""
    chain, mixture = karaoke(), torch.randn(2, length) * 0.1
    found = collected(chain, [mixture], rate, output_rate)
    leaves = ("lead", "backing", "drums", "b", "others")
    assert chain.stems == ("vocals", "accompaniment", *leaves)
    assert chain.wholes == ("vocals", "accompaniment")
    expected, vocals, _ = (found.pop(name) for name in ("mixture", *chain.wholes))
    assert (expected - resample(mixture, rate, output_rate)).abs().max() < 1e-6
    assert (sum(found.values()) - expected).abs().max() < 1e-6
    assert (found["lead"] + found["backing"] - vocals).abs().max() < 1e-6


@pytest.mark.parametrize("channels", [1, 2])
def test_the_blocks_of_a_chain_do_not_matter(channels):
    chain, mixture = karaoke(channels=channels), torch.randn(2, 40000) * 0.1
    whole = collected(chain, [mixture], RATE)
    for seed in range(3):
        parts = collected(chain, pieces(mixture, seed), RATE)
        assert all(torch.equal(parts[name], whole[name]) for name in whole)


def test_each_step_separates_what_it_was_given():
    chain, mixture = karaoke(), torch.randn(1, 30000) * 0.1
    found = collected(chain, [mixture], RATE)
    vocals, other = chain.separators[0], chain.separators[2]
    with torch.no_grad():
        assert torch.equal(found["vocals"], vocals(mixture)[0])
        assert torch.equal(found["lead"], vocals(found["vocals"])[0])
        rest = mixture - found["vocals"]
        assert torch.equal(found["drums"], other(rest, RATE)[0])
        assert torch.equal(found["others"], rest - found["drums"] - found["b"])


def test_values_of_a_chain():
    chain = Chain(
        [Step("a", names="x"), Step("b", "x", {"one": "y"}), Step("c", names="z")],
        [separator("one"), separator("one", "two"), separator("t")],
    )
    mixture = torch.randn(1, 20000)
    found = collected(chain, [mixture], RATE)
    assert {name: round(float(x.norm() / mixture.norm()), 3) for name, x in found.items()} == {
        "mixture": 1,
        "y": 0.25,
        "two": 0.25,
        "z": 0.5,
    }


def test_steps_without_rest_are_as_models_side_by_side():
    """They pass from their own rate to that of the output at once."""
    models, mixture = [trained("a"), trained("b", "c", rate=11025)], torch.randn(2, 20000) * 0.1
    chain = Chain([Step("1"), Step("2")], models)
    found = collected(chain, [mixture], 6000, 11025)
    with torch.no_grad():
        for model in models:
            alone = torch.cat(list(model.stream([mixture], 6000, 11025)), -1)
            assert all(torch.equal(found[t], x) for t, x in zip(model.targets, alone, strict=True))


def test_a_chain_does_not_wait_for_the_end_of_a_stream():
    """Some windows of every step are held, not the whole signal."""
    read = 0

    def blocks():
        nonlocal read
        for _ in range(400):
            read += 1000
            yield torch.zeros(1, 1000)

    given, most = 0, 0
    with torch.no_grad():
        for part in karaoke().stream(blocks(), RATE):
            given += part.shape[-1]
            most = max(most, read - given)
    assert given == read == 400_000
    assert most < 60_000


@pytest.mark.parametrize(
    "steps, message",
    [
        ([], "chain: has no steps"),
        ([Step("a", "vocal")], r"chain\.a\.input=vocal: no such stem, expected one of mixture"),
        ([Step("a", "one")], r"chain\.a\.input=one: is a stem of this step"),
        (
            [Step("a", "b"), Step("c", names="b")],
            r"chain\.a\.input=b: chain\.c, which gives it, comes later",
        ),
        (
            [Step("a", "y", "x"), Step("b", "x", "y")],
            r"chain\.a\.input=y: chain\.b, which gives it, comes later",
        ),
        ([Step("a"), Step("b")], r"chain\.b: a stem of chain\.a has the name one already"),
        ([Step("a", rest="ONE")], r"chain\.a: a stem of chain\.a has the name ONE already"),
        ([Step("a", rest="mixture")], "the mixture has the name mixture already"),
        ([Step("a", names={"tow": "x"})], r"chain\.a\.names: no target 'tow', expected one of one"),
        ([Step("a", names="../x")], r"chain\.a: '\.\./x' is not a name for a file"),
        ([Step("a", names={"one": None})], r"chain\.a: None is not a name for a file"),
        ([Step("a", rest="")], r"chain\.a: '' is not a name for a file"),
        (
            [Step("a", names="x", rest="y"), Step("b", rest=None)],
            r"chain\.b\.input=mixture: chain\.a separates it as well, and with chain\.a\.rest=y",
        ),
        (
            [Step("a", names="x"), Step("b", rest="y")],
            r"chain\.b\.input=mixture: chain\.a separates it as well, and with chain\.b\.rest=y",
        ),
    ],
)
def test_mistakes_in_the_steps_of_a_chain(steps, message):
    with pytest.raises(InputError, match=message):
        Chain(steps, [separator("one")] * len(steps))


def test_one_name_for_several_targets_is_refused():
    with pytest.raises(InputError, match=r"names=x: the model has the targets one, two; expected"):
        Chain([Step("a", names="x")], [separator("one", "two")])


def test_a_model_that_gives_no_numbers_is_named_by_the_next_step():
    network = Half(1)
    network.forward = lambda magnitude: MaskEstimate(torch.full_like(magnitude, torch.nan)[:, None])
    steps = [Step("a", names="x"), Step("b", "x", "y")]
    chain = Chain(steps, [separator("one", network=network), separator("one")])
    with pytest.raises(InputError, match=r"chain\.b\.input=x: audio: has NaN"):
        collected(chain, [torch.ones(1, 100)], RATE)
