"""The command `separate` with a chain, as a user runs it."""

import json

import numpy as np
import pytest
import soundfile

from support import untrained

STEP = 2.0**-15  # of 16 bits
LEAVES = ("accompaniment", "lead", "noise", "backing_voices", "residual")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Tiny networks: one for vocals, and one of another rate for two targets."""
    folder = tmp_path_factory.mktemp("models")
    untrained(folder / "two.ckpt", "target=[vocals,drums]", "audio.sample_rate=16000")
    untrained(folder / "vocals.ckpt")
    return folder


@pytest.fixture
def song(tmp_path):
    """A second of noise in 16 bits, beyond full scale nowhere."""
    path = tmp_path / "song.wav"
    noise = np.random.default_rng(0).uniform(-0.4, 0.4, (22050, 2))
    soundfile.write(path, noise, 22050, "PCM_16")
    return path


@pytest.fixture
def separate(command, models, song, tmp_path):
    """Run the command on the song."""

    def call(*arguments, code=0, output=tmp_path / "out"):
        done = command(
            "separate", f"input={song}", f"output={output}", "engine=torch", *map(str, arguments)
        )
        assert done.code == code, done.err
        return done

    return call


@pytest.fixture
def karaoke(models):
    """The chain of the package with a model for each step."""
    return ["chain=karaoke"] + [
        f"chain.{step}.ckpt={models / 'vocals.ckpt'}" for step in ("vocals", "lead", "denoise")
    ]


def stems_of(folder):
    return {path.stem: soundfile.read(path)[0] for path in folder.glob("*.wav")}


def report_of(folder):
    return json.loads((folder / "report.json").read_text())


@pytest.mark.parametrize("keep", [False, True])
def test_the_stems_of_karaoke_add_up(separate, karaoke, song, tmp_path, keep):
    separate(*karaoke, "residual=true", f"chain.vocals.keep={keep}")
    stems, mixture = stems_of(tmp_path / "out" / "song"), soundfile.read(song)[0]
    assert set(stems) == {*LEAVES, *(["vocals"] if keep else [])}
    assert soundfile.info(tmp_path / "out" / "song" / "lead.wav").subtype == "PCM_16"
    assert np.abs(sum(stems[name] for name in LEAVES) - mixture).max() <= STEP
    assert np.abs(stems["residual"]).max() <= 3 * STEP
    if keep:
        parts = stems["lead"] + stems["backing_voices"] + stems["noise"]
        assert np.abs(parts - stems["vocals"]).max() <= 3 * STEP
    report = report_of(tmp_path / "out" / "song")
    assert report["null_error_steps"] <= 1
    assert [*report["stems"]][-1] == "residual"
    steps = [model["step"] for model in report["models"]]
    assert [step["name"] for step in steps] == ["vocals", "lead", "denoise"]
    assert [step["input"] for step in steps] == ["mixture", "vocals", "backing"]


@pytest.mark.parametrize("options", [["clip=rescale"], ["clip=clamp"], ["format=flac"], []])
def test_a_stem_that_is_kept_is_no_part_of_the_sum(separate, karaoke, tmp_path, options):
    """Also where stems exceed full scale."""
    loud, rate = soundfile.read(tmp_path / "song.wav")
    soundfile.write(tmp_path / "song.wav", loud * 2.49, rate)
    separate(*karaoke, "residual=true", "chain.vocals.keep=true", *options)
    assert report_of(tmp_path / "out" / "song")["null_error"] <= 2 * STEP


def test_a_chain_is_skipped_when_it_is_done_and_refused_when_it_was_changed(
    separate, karaoke, tmp_path
):
    separate(*karaoke)
    made = (tmp_path / "out" / "song" / "lead.wav").stat().st_mtime_ns
    assert "is there already" in separate(*karaoke).out
    for change in (
        ["chain.lead.rest=others", "chain.denoise.input=others"],
        ["chain.vocals.keep=true"],
        ["chain.denoise.names=x"],
    ):
        assert "made from another file, by another model" in separate(*karaoke, *change, code=1).err
    assert (tmp_path / "out" / "song" / "lead.wav").stat().st_mtime_ns == made
    separate(*karaoke, "chain.denoise.names=clean", "overwrite=true")
    assert set(stems_of(tmp_path / "out" / "song")) == {"accompaniment", "lead", "noise", "clean"}


def test_a_chain_of_a_user_and_every_option(separate, models, song, tmp_path):
    """A model at another rate, two targets, a template, another rate of the output, a limit."""
    (tmp_path / "my" / "chain").mkdir(parents=True)
    (tmp_path / "my" / "chain" / "band.yaml").write_text(
        f"voice:\n  ckpt: {models}/vocals.ckpt\n  rest: band\n"
        f"rhythm:\n  ckpt: {models}/two.ckpt\n  input: band\n  names: {{vocals: bass}}\n"
        "  rest: other\n"
    )
    separate(
        *("chain=band", "sample_rate=16000", "max_ram=4GB", "residual=true", "format=flac"),
        *("wiener=true", "jobs=2", "separation.shifts=2", f"--config-dir={tmp_path / 'my'}"),
        output=tmp_path / "out" / "{track}-{target}",
    )
    found = sorted(path.name for path in (tmp_path / "out").glob("*.flac"))
    assert found == [
        f"song-{name}.flac" for name in ("bass", "drums", "other", "residual", "vocals")
    ]
    report = json.loads((tmp_path / "out" / "song-report.json").read_text())
    assert report["null_error_steps"] <= 1
    assert report["output"]["sample_rate"] == 16000


def test_steps_on_the_command_line_alone(separate, models, tmp_path):
    ckpt = models / "vocals.ckpt"
    first = [f"+chain.a.ckpt={ckpt}", "+chain.a.names=x", "+chain.a.rest=y"]
    separate(*first, f"+chain.b.ckpt={models}/two.ckpt", "+chain.b.input=y", "residual=true")
    assert set(stems_of(tmp_path / "out" / "song")) == {"x", "vocals", "drums", "residual"}
    assert report_of(tmp_path / "out" / "song")["null_error_steps"] <= 1


def test_a_step_that_is_left_out_and_the_model_that_is_chosen(separate, models, song, tmp_path):
    done = separate(
        *("chain=karaoke", f"chain.lead.ckpt={models}/vocals.ckpt", "~chain.denoise"),
        *("duration=0.1", "device=cpu"),
    )
    assert "chain.vocals.ckpt=null: pretrained:" in done.out + done.err
    assert set(stems_of(tmp_path / "out" / "song")) == {"accompaniment", "lead", "backing"}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["ckpt=x.ckpt"], "ckpt: not with a chain, each step of which has its model"),
        (["chain.lead.input=vocal"], "chain.lead.input=vocal: no such stem, did you mean 'vocals'"),
        (["chain.vocals.input=lead"], "chain.vocals.input=lead: chain.lead, which gives it, comes"),
        (["chain.lead.names=vocals"], "chain.lead: a stem of chain.vocals has the name vocals"),
        (["chain.lead.names={led:x}"], "chain.lead.names: no target 'led', expected one of vocals"),
        (["chain.lead.names=[x]"], "chain.lead.names=a list: expected a name, or names by target"),
        (["chain.lead.names=a/b"], "chain.lead: 'a/b' is not a name for a file"),
        (["chain.lead.ckpt=none.ckpt"], "none.ckpt"),
        (["chain.lead.ckpt=."], "chain.lead.ckpt=.: a folder without a model"),
        (["chain.lead.ckpt=???"], "missing required key: chain.lead.ckpt"),
        (["chain.lead.ckpt=[a,b]"], "chain.lead.ckpt=a list: expected one model; give each a step"),
        (["chain.lead=null"], "chain.lead=None: expected chain.<name>.<key>="),
        (["wiener=true", "chain.vocals.keep=true"], "wiener=true: vocals holds other stems"),
        (["chain.noise.rest=residual"], "chain.noise.rest: no such key"),
        (["chain.denoise.rest=residual", "residual=true"], "a model separates a target of this"),
        (["chain.denoise.input=vocals"], "chain.denoise.input=vocals: chain.lead separates it as"),
        (["~chain.vocals", "~chain.lead", "~chain.denoise"], "chain: has no steps"),
    ],
)
def test_mistakes_in_a_chain_are_one_line(separate, karaoke, tmp_path, arguments, message):
    assert message in separate(*karaoke, *arguments, code=1).error
    assert not (tmp_path / "out").exists()


def test_a_chain_that_there_is_not(separate):
    assert (
        "chain.lead.ckpt: needs a chain, chain=karaoke chain.lead.ckpt=..., or +"
        in separate("chain.lead.ckpt=x", code=1).error
    )
    assert (
        "chain=karoake: no such option, did you mean 'karaoke'?"
        in separate("chain=karoake", code=1).error
    )
