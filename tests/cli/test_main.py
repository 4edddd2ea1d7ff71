"""The command line as a user meets it: help without torch, and one clear line for every mistake."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from auralflow_pl.cli import main as cli
from auralflow_pl.cli.quoting import prepare_arguments
from auralflow_pl.config.compose import compose
from auralflow_pl.config.explain import explain
from auralflow_pl.config.locations import config_dir
from auralflow_pl.errors import InputError, os_reason
from support import REPOSITORY, TINY, TINY_SET, option_names, python, script

PROBE = """
import sys
from auralflow_pl.cli import main as cli
for line in sys.argv[1:]:
    sys.argv = line.split()
    try:
        cli.main() if sys.argv[0] == "auralflow" else cli.run(sys.argv[0])
    except SystemExit as end:
        assert not end.code, (line, end.code)
    packages = ("torch", "torchaudio", "pytorch_lightning", "scipy", "av")
    heavy = [name for name in packages if name in sys.modules]
    assert not heavy, (line, heavy)
    print("\f")
"""


@pytest.mark.parametrize("arguments", [["config", "--help"], ["completion", "-h"], ["--version"]])
def test_tools_have_a_usage_and_the_program_a_version(capsys, monkeypatch, arguments):
    monkeypatch.setattr("sys.argv", ["auralflow", *arguments])
    cli.main()
    out = capsys.readouterr().out
    usage = arguments[0] in cli.TOOL_TEXTS
    assert out.startswith(f"usage: auralflow {arguments[0]}" if usage else "auralflow_pl 0.")
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    "arguments",
    [
        "config loss >&-",
        "separate --help >&- 2>&-",
        "--help | true",
        "models | true",
    ],
)
def test_an_output_that_nobody_reads_is_no_error(arguments):
    program = f"'{sys.executable}' -m auralflow_pl {arguments}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_help_and_config_do_not_import_torch():
    names = ("train", "evaluate", "separate")
    lines = [
        "auralflow --help",
        *(f"{n} --help" for n in names),
        *(f"{n} --cfg job" for n in names),
    ]
    done = python("-c", PROBE, *lines)
    assert done.code == 0, done.err
    overview, *texts, end = done.out.split("\f\n")
    assert end == ""
    assert all(f"\n  {name} " in overview for name in names)
    assert max(map(len, overview.splitlines())) <= 80
    assert ["groups (group=option)" in text for text in texts] == [True] * 3 + [False] * 3
    assert ["paths:" in text for text in texts[3:]] == [True] * 3


@pytest.mark.parametrize("given, meant", [("trian", "train"), ("test", "evaluate")])
def test_unknown_command(capsys, monkeypatch, given, meant):
    monkeypatch.setattr("sys.argv", ["auralflow", given])
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    error = capsys.readouterr().err
    assert error == f"error: no such command: {given}, did you mean {meant!r}?\n"


@pytest.mark.parametrize(
    "command, overrides, message",
    [
        ("separate", ["ckpt=x", "input=y", "sr=44100"], "sr: no such key, expected one of"),
        ("train", ["~data", "data.root=x"], "no such key with these options"),
        ("train", ["model.foo=3"], "(to add it: +model.foo=...)"),
        ("train", ["stft.foo=3"], "stft.foo: no such key, expected one of stft.n_fft, stft.win"),
        ("train", ["trainer.foo=3"], "trainer.foo: no such key, expected one of trainer."),
        ("train", ["trainer.max_time.seconds=1"], "holds a value; pass trainer.max_time=..."),
        ("train", ["callbacks.early_stopping.patience=1"], "or callbacks=[...,early_stopping]"),
    ],
)
def test_hints_are_never_absurd(command, overrides, message):
    with pytest.raises(InputError) as error:
        compose(command, overrides)
    assert message in str(error.value)
    assert "did you mean" not in str(error.value)


@pytest.mark.parametrize(
    "argument, message",
    [
        ("model.widht=3", "model.widht: no such key, did you mean 'model.width'?"),
        ("stft.nfft=3", "stft.nfft: no such key, did you mean 'stft.n_fft'?"),
        ("tarrget=vocals", "tarrget: no such key, did you mean 'target'?"),
        ("modle=simple", "modle: no such key, did you mean 'model'?"),
        ("model=simpel", "model=simpel: no such option, did you mean 'simple'?"),
        ("data.source.secnds=3", "did you mean 'data.source.seconds'?"),
        ("+model.widht=3", "model.widht: no such key, did you mean 'width'?"),
        ("experiment=quickstar", "did you mean 'quickstart'?"),
        ("target=voclas", "target=voclas: no such stem, did you mean 'vocals'?"),
        ("target=[vocals,vocals]", "expected one or several different stems"),
        ("model.mask_activation=softmax", "use mask_activation=sigmoid"),
        ("model.dropout=3", "dropout probability has to be between 0 and 1"),
        ("stft.hop_length=700", "2 * hop_length <= win_length <= n_fft"),
        ("separation.overlap=0.9", "separation.overlap=0.9: expected from 0 to 0.5"),
        ("pool.dtype=int24", "pool.dtype=int24: did you mean 'int16'?"),
        ("audio.sample_rate=fast", "audio.sample_rate: Value 'fast'"),
        ("chunk_seconds=0", "chunk_seconds=0.0: expected more than 0"),
        ("data.source.seed=5", "another recipe (seed differ)"),
        ("data=stem_folder", "data.root: not given; pass data.root=<folder>"),
        ("resume=none.ckpt", "resume=none.ckpt: no such file"),
        ("trainer.max_epochs=many", "max_epochs"),
        ("target=(", "quote values"),
        ("target=[a (b),c]", "and in a list: 'key=["),
        ("target=null", "expected a value"),
        ("audio=44100", "audio=44100: expected audio.<key>=... with one of sample_rate"),
        ("model=null", f"model=null: expected one of {', '.join(option_names('model'))}"),
        ("seed=-1", "seed=-1: expected at least 0"),
        ("audio.channels=0", "audio.channels=0: expected more than 0"),
        ("data.batch_size=0", "data.batch_size=0: expected more than 0"),
        ("data.max_tracks=-1", "data.max_tracks=-1: expected more than 0"),
        ("chunk_seconds=nan", "chunk_seconds=nan: expected more than 0"),
        ("data.stems=[bass,vocals]", "this data set has ['vocals', 'drums', 'bass', 'other']"),
        ("model.levels=0", "levels from 1 to 10"),
        ("model.width=abc", "model.width=abc: expected int"),
        ("optimizer.lr=fast", "optimizer.lr=fast: expected"),
        ("optimizer.lr=-1", "Invalid learning rate: -1"),
        ("optimizer=adagrad", "optimizer=adagrad: no such option, did you mean 'adam'?"),
        ("scheduler.factor=2", "Factor should be < 1.0"),
        ("model=[simple,lstm]", "model takes one option; to compare several, -m model=simple,lstm"),
        ("loss_weights={l2:1}", "loss_weights.l2: no such loss, expected one of l1"),
        ("loss=[l1,snrr]", "loss=snrr: no such option, did you mean 'snr'?"),
        ("augment=[gian]", "augment=gian: no such option, did you mean 'gain'?"),
        ("loss=kl_div", "the network has no latent; use model=vae or another loss"),
        ("+trainer.precision=16", "trainer.precision: is set by another key"),
        ("trainer.accelerator=abacus", "abacus"),
        ("song.mp3", "song.mp3: expected key=value; see auralflow train --help"),
        ("--target=vocals", "--target=vocals: a setting is a key, target=vocals"),
    ],
)
def test_mistakes_in_training(command, songs, tmp_path, argument, message):
    tiny = TINY[len(TINY_SET) :] if "stem_folder" in argument else [*TINY, f"data.root={songs}"]
    run_dir = tmp_path / "run"
    done = command("train", *tiny, f"paths.run_dir={run_dir}", argument)
    assert message in done.error
    assert not run_dir.exists() or not list(run_dir.rglob("*.ckpt"))
    assert "Error executing job" not in done.err


def test_a_refused_run_leaves_nothing(command, songs, tmp_path):
    done = command(
        "train", *TINY, f"data.root={songs}", f"paths.run_dir={tmp_path / 'r'}", "target=x"
    )
    assert done.code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_resumed_with_its_own_configuration_only(command, songs, run, tmp_path):
    base = ["train", *TINY, f"data.root={songs}", f"paths.run_dir={run}"]
    assert "its target differs" in command(*base, "resume=auto", "target=drums").error
    assert "its model differs" in command(*base, "resume=auto", "model.width=4").error
    assert "its scheduler differs" in command(*base, "resume=auto", "scheduler=cosine").error
    copy = tmp_path / "other.ckpt"
    copy.write_bytes((run / "checkpoints" / "last.ckpt").read_bytes())
    assert "holds a run already" in command(*base, f"resume={copy}").error


def test_a_run_that_diverges_saves_no_checkpoint(command, songs, tmp_path):
    done = command(
        "train",
        *TINY,
        f"data.root={songs}",
        f"paths.run_dir={tmp_path / 'run'}",
        "optimizer.lr=1e30",
        "trainer.gradient_clip_val=null",
    )
    assert "the loss is not finite; no checkpoint holds this step" in done.error
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda p: None, "no such folder; expected [train/]<track>/{vocals,drums,bass,other}."),
        (lambda p: p.mkdir(), "no tracks in data.root="),
        (lambda p: p.write_text("x"), "no such folder"),
    ],
)
def test_bad_data_root(command, tmp_path, make, message):
    make(tmp_path / "set")
    done = command(
        "train",
        *TINY[len(TINY_SET) :],
        "data=stem_folder",
        f"data.root={tmp_path / 'set'}",
        f"paths.run_dir={tmp_path / 'run'}",
    )
    assert message in done.error


def test_a_run_folder_with_checkpoints_is_not_overwritten(command, songs, run):
    before = (run / "checkpoints" / "best.ckpt").read_bytes()
    done = command("train", *TINY, f"data.root={songs}", f"paths.run_dir={run}", "seed=9")
    assert "holds a run already" in done.error
    assert "resume=auto" in done.error
    assert (run / "checkpoints" / "best.ckpt").read_bytes() == before


def test_an_unwritable_run_folder(command, songs, tmp_path):
    (tmp_path / "file").write_text("mine")
    done = command(
        "train", *TINY, f"data.root={songs}", f"paths.run_dir={tmp_path / 'file' / 'run'}"
    )
    assert "file" in done.error


@pytest.fixture
def song(tmp_path):
    path = tmp_path / "song.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.3, 0.3, (9000, 2)), 44100)
    return path


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda p: p.unlink(), "no such file or folder"),
        (lambda p: p.write_bytes(b""), "empty file"),
        (lambda p: p.write_bytes(p.read_bytes()[:999]), "truncated"),
        (lambda p: p.write_text("words"), "not readable as audio"),
        (lambda p: soundfile.write(p, np.full((99, 2), np.nan), 44100, "FLOAT"), "NaN"),
        (lambda p: soundfile.write(p, np.zeros((0, 2)), 44100), "holds no samples"),
    ],
)
def test_mistakes_in_separation(command, ckpt, song, tmp_path, damage, message):
    damage(song)
    done = command("separate", f"ckpt={ckpt}", f"input={song}", f"output={tmp_path / 'out'}")
    assert message in done.error
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_an_unwritable_output(command, ckpt, song, tmp_path):
    (tmp_path / "file").write_text("mine")
    done = command("separate", f"ckpt={ckpt}", f"input={song}", f"output={tmp_path / 'file'}")
    assert "is a file, expected a folder" in done.error
    done = command("separate", f"ckpt={ckpt}", f"input={song}", "output=/proc/stems")
    assert "cannot write into /proc" in done.error


def test_a_missing_required_key(command):
    assert "missing required key: input; pass input=..." in command("separate").error
    assert "missing required key: ckpt; pass either ckpt=..." in command("evaluate").error


@pytest.mark.parametrize("name", ["evaluate", "separate"])
def test_a_bad_checkpoint(command, song, tmp_path, name):
    (tmp_path / "bad.ckpt").write_text("no")
    arguments = [f"input={song}"] if name == "separate" else []
    done = command(name, f"ckpt={tmp_path / 'bad.ckpt'}", *arguments)
    assert "damaged" in done.error


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["split=tets"], "split=tets: did you mean 'test'?"),
        (["device=quantum"], "device=quantum: not available here"),
        (["data=stem_folder", "data.root=nowhere"], "data.root=nowhere: no such folder"),
        (
            ["data=stem_folder", "data.root={songs}", "data.stems=[drums,bass]"],
            "target=vocals: needs the stem vocals",
        ),
        (["data.root=nowhere"], "data.root: needs a data set, for example data=stem_folder"),
        (["device=meta"], "device=meta: not available here"),
    ],
)
def test_mistakes_in_evaluation(command, ckpt, songs, arguments, message):
    given = [argument.replace("{songs}", str(songs)) for argument in arguments]
    assert message in command("evaluate", f"ckpt={ckpt}", *given).error


@pytest.mark.parametrize(
    "name",
    [
        "My Song (live), take=2 [mix]'s.wav",
        "Café 日本語.wav",
        "Rock & Roll; what?! <x> ^a~b `c` #1 $5 {z}.wav",
        "1.10.wav",
        "back\\slash'.wav",
        "null.wav",
        "b${1}.wav",
        "back\\${input}.wav",
    ],
)
def test_awkward_file_names_need_no_quoting(command, ckpt, song, tmp_path, name):
    awkward = song.rename(tmp_path / name)
    folder = tmp_path / "out${1}"
    done = command("separate", f"ckpt={ckpt}", f"input={awkward}", f"output={folder}")
    assert done.code == 0, done.err
    assert (folder / awkward.stem / "vocals.wav").is_file()


@pytest.mark.parametrize("flag", [["--config-path", "mine"], ["-cp=mine"]])
def test_a_folder_of_configurations_is_relative_to_where_the_user_is(
    command, tmp_path, monkeypatch, flag
):
    shutil.copytree(config_dir(), tmp_path / "mine")
    doctor = tmp_path / "mine" / "doctor.yaml"
    doctor.write_text(doctor.read_text().replace("draws: ", "draws: 77"))
    monkeypatch.chdir(tmp_path)
    assert command("doctor", *flag, "--cfg", "job", "-p", "draws").out.startswith("77")


def test_a_sweep_by_its_mode_is_read_like_one_by_its_flag():
    swept = ["data.root=a b,c", "model.width=2,4"]
    by_mode = prepare_arguments("train", [*swept, "hydra.mode=MULTIRUN"])
    by_flag = prepare_arguments("train", [*swept, "-m"])
    assert by_mode[1:] == by_flag[1:] == ["data.root='a b','c'", "model.width=2,4"]


def test_make_synthetic_script(tmp_path):
    path = REPOSITORY / "scripts" / "make_synthetic.py"
    code, text = script(path, f"out={tmp_path / 's'}", "tracks=3", "seconds=1", "workers=2")
    assert code == 0, text
    assert len(list((tmp_path / "s").glob("*/*/mixture.wav"))) == 3
    code, text = script(path)
    assert code == 1
    assert text == "error: missing required key: out; pass out=<folder>\n"
    code, text = script(path, f"out={tmp_path / 's'}", "trakcs=3")
    assert code == 1
    assert re.fullmatch("error: .*trakcs.*\n", text)


def test_every_error_of_the_system_has_a_reason():
    assert explain(OSError(28, "No space left", "/x"), "train") == "/x: No space left"
    assert os_reason(OSError("odd")) == "odd"
    assert os_reason(OSError()) == "OSError"


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ["song.mp3"],
            "song.mp3: expected key=value, as in input=song.mp3; see auralflow separate",
        ),
        (["--input", "song.mp3"], "--input song.mp3: a setting is a key, input=song.mp3"),
        (["input=x", "separation.speeds=0.9"], "separation.speeds: expected a list, as in"),
    ],
)
def test_what_other_tools_take_is_answered_by_the_key(command, words, message):
    done = command("separate", *words)
    assert done.code == 1
    assert message in done.error


def test_a_model_is_measured_on_stems_of_other_names(command, songs, run, tmp_path):
    root, keys = tmp_path / "songs", ["data.stems=[sång,rest]", "references=[]", "report=false"]
    for name in ("song000", "song001"):
        song = songs / "test" / name
        (root / "test" / name).mkdir(parents=True)
        shutil.copy(song / "vocals.wav", root / "test" / name / "sång.wav")
        shutil.copy(song / "drums.wav", root / "test" / name / "rest.wav")
    given = ["evaluate", f"ckpt={run}", f"output={tmp_path}", "data=stem_folder", *keys]
    given.append(f"data.root={root}")
    assert "pass data.groups={vocals:[<stem>]}" in command(*given).error
    done = command(*given, "data.groups={vocals:[sång]}")
    assert done.code == 0, done.err
    assert "song001,vocals" in (tmp_path / "eval.csv").read_text()
