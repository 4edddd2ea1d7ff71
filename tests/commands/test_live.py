"""The command `live`, as a user pipes sound through it, and with a sound device."""

import atexit
import os
import signal
import sys
import threading
import types
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import auralflow_pl
from auralflow_pl.audio import sound_device
from auralflow_pl.cli import main as cli
from auralflow_pl.errors import InputError
from auralflow_pl.models.causal import CausalNetwork
from auralflow_pl.separator.separator import Separator
from auralflow_pl.signal.stft import STFT
from auralflow_pl.stems.live import DeviceCallback, LiveSession
from support import ended, forked, untrained

RATE = 8000
SMALL = ("model=causal", f"audio.sample_rate={RATE}", "audio.channels=2", "stft.n_fft=256",
         "stft.win_length=256", "stft.hop_length=64", "model.levels=2")  # fmt: skip
FLAGS = types.SimpleNamespace(input_overflow=False, output_underflow=False)


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("model") / "vocals.ckpt", *SMALL)


@pytest.fixture
def song(tmp_path):
    """A third of a second, stereo."""
    path = tmp_path / "song.wav"
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (2711, 2))
    soundfile.write(path, noise, RATE)
    return path


def piped(ckpt, content, *arguments, reader=True):
    """Run the command with bytes as standard input.

    Returns:
        exit code, standard output, standard error
    """
    inward, outward = os.pipe(), os.pipe()

    def work():
        os.dup2(inward[0], 0)
        os.dup2(outward[1], 1)
        for end in (*inward, *outward):
            os.close(end)
        sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
        sys.argv = ["live", f"ckpt={ckpt}", "block=100", *map(str, arguments)]
        cli.run("live")

    child, messages = forked(work)
    os.close(inward[0])
    os.close(outward[1])
    if not reader:
        os.close(outward[0])
    pid = os.fork()  # writes, while this process reads
    if not pid:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        with os.fdopen(inward[1], "wb") as file:
            file.write(content)
            file.flush()
            os._exit(0)
    os.close(inward[1])
    found = b""
    if reader:
        with os.fdopen(outward[0], "rb") as file:
            found = file.read()
    code, text = ended(child, messages)
    os.waitpid(pid, 0)
    return code, found, text


def offline(ckpt, path):
    samples, _ = soundfile.read(path, dtype="float32")
    return auralflow_pl.load(ckpt)(samples.T)[0], samples.T


def decoded(content, path):
    path.write_bytes(content)
    return soundfile.read(path, dtype="float32")[0].T


def test_wav_goes_through_a_pipe(ckpt, song, tmp_path):
    code, found, text = piped(ckpt, song.read_bytes())
    assert code == 0, text
    vocals, mixture = offline(ckpt, song)
    assert abs(decoded(found, tmp_path / "out.wav") - vocals).max() < 2**-15
    assert text.splitlines()[0].startswith("latency ")
    assert "0.3 s in 28 blocks, real-time factor" in text
    assert "0 under-runs" in text
    assert not list(Path.cwd().glob("live.log"))
    code, found, text = piped(ckpt, song.read_bytes(), "target=rest")
    assert code == 0, text
    assert abs(decoded(found, tmp_path / "out.wav") - (mixture - vocals)).max() < 2**-15


def test_raw_samples_go_through_a_pipe(ckpt, song):
    vocals, mixture = offline(ckpt, song)
    content = mixture.T.astype("<f4").tobytes()
    raw = (f"raw.sample_rate={RATE}", "raw.subtype=float")
    code, found, text = piped(ckpt, content, *raw)
    assert code == 0, text
    samples = np.frombuffer(found, "<f4").reshape(-1, 2).T
    assert abs(samples - vocals).max() < 1e-5


def test_what_a_truncated_pipe_had_is_heard(ckpt, song, tmp_path):
    code, found, text = piped(ckpt, song.read_bytes()[:-1000])
    assert code == 1
    assert "error: standard input: truncated after 0.31 s" in text
    assert decoded(found, tmp_path / "out.wav").shape[-1] == 2711 - 250


@pytest.mark.parametrize(
    "content, arguments, message",
    [
        (b"", [], "standard input: is empty; expected WAV"),
        (b"", [f"raw.sample_rate={RATE}"], "standard input: holds no samples"),
        (bytes(100), ["raw.sample_rate=16000"], "16000 Hz, but the model needs 8000 Hz; resample"),
        (bytes(100), [f"raw.sample_rate={RATE}", "raw.subtype=8"], "raw.subtype=8: expected one"),
        (b"fLaC" + bytes(50), [], "no WAV; decode it first"),
        (b"", ["target=drums"], "target=drums: the model has no such stem"),
        (b"", ["block=0"], "block=0: expected a number of samples"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_mistake_is_one_line_and_no_sound(ckpt, content, arguments, message):
    code, found, text = piped(ckpt, content, *arguments)
    assert code == 1
    assert found == b""
    assert "Traceback" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("error: ")]
    assert message in line


def test_a_reader_that_ends_is_no_error(ckpt, song):
    code, _, text = piped(ckpt, song.read_bytes() * 3, reader=False)
    assert code == 0, text
    assert "Traceback" not in text
    assert "error" not in text


def test_files(command, ckpt, song, tmp_path):
    out = tmp_path / "new" / "vocals.wav"
    keys = (f"ckpt={ckpt}", f"input={song}", f"output={out}")
    assert command("live", *keys).code == 0
    assert abs(soundfile.read(out)[0].T - offline(ckpt, song)[0]).max() < 2**-15
    before = out.read_bytes()
    assert "is there already" in command("live", *keys, "target=rest").error
    assert out.read_bytes() == before
    assert command("live", *keys, "target=rest", "overwrite=true").code == 0
    assert out.read_bytes() != before
    song.write_bytes(song.read_bytes()[:-2000])
    kept = tmp_path / "kept.flac"
    assert "truncated" in command("live", *keys[:2], f"output={kept}").error
    assert soundfile.info(kept).frames == 2711 - 500
    wrong = command("live", *keys[:2], f"output={tmp_path}/vocals")
    assert "expected a name that ends in one of .wav, .flac" in wrong.error
    assert "no such file" in command("live", f"ckpt={ckpt}", "input=none.wav").error
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("setting", ["separation.speeds=[1,1.25]", "separation.mid_side=true"])
def test_a_model_that_names_several_passes_makes_one(command, song, tmp_path, setting):
    named = untrained(tmp_path / "named.ckpt", *SMALL, "audio.channels=2", setting)
    output = tmp_path / "vocals.wav"
    command("live", f"ckpt={named}", f"input={song}", f"output={output}", "block=100")
    assert soundfile.info(output).frames == soundfile.info(song).frames


def test_an_interruption_keeps_what_was_heard(command, ckpt, song, tmp_path, monkeypatch):
    process, out = LiveSession.process, tmp_path / "out.wav"

    def interrupted(self, block):
        if self.blocks == 10:
            os.kill(os.getpid(), signal.SIGTERM)
        return process(self, block)

    monkeypatch.setattr(LiveSession, "process", interrupted)
    done = command("live", f"ckpt={ckpt}", f"input={song}", f"output={out}", "block=100")
    assert done.code == 0, done.err
    assert soundfile.info(out).frames == 1000


def test_a_model_with_look_ahead_is_refused(command, tmp_path, song):
    unet = untrained(tmp_path / "unet.ckpt")
    error = command("live", f"ckpt={unet}", f"input={song}").error
    assert "needs sound that has not arrived" in error
    assert "model=causal" in error


@pytest.mark.parametrize("key, stream, mode", [("input", "stdin", "r"), ("output", "stdout", "w")])
def test_no_sound_is_read_from_a_terminal_or_written_to_one(
    command, ckpt, song, monkeypatch, key, stream, mode
):
    other = f"output={song}.out.wav" if key == "input" else f"input={song}"
    terminal = os.openpty()
    with os.fdopen(terminal[1], mode, closefd=False) as file:
        monkeypatch.setattr(sys, stream, file)
        done = command("live", f"ckpt={ckpt}", other)
    for end in terminal:
        os.close(end)
    assert done.error.startswith(f"error: {key}=-: is a terminal")


# Sound devices: PortAudio is replaced, not our code.


class Stream:
    """As `sounddevice.Stream`: calls the callback once for each of `flags`, then is interrupted.

    If `unplugged`, it ends by itself; if `silent`, it calls nothing more and goes on.
    """

    flags = ()
    unplugged = silent = False
    opened = None

    def __init__(self, **options):
        type(self).opened, self.options = options, options

    def start(self):
        options, draw = self.options, np.random.default_rng(0)
        inputs, outputs = options["channels"]
        self.__class__.heard, self.__class__.played = [], []
        for flags in self.flags:
            sound = draw.uniform(-0.3, 0.3, (options["blocksize"], inputs)).astype(np.float32)
            output = np.full((options["blocksize"], outputs), np.nan, np.float32)
            try:
                options["callback"](sound, output, len(sound), None, flags)
            except CallbackAbort:
                self.__class__.unplugged = True
                break
            self.heard.append(sound)
            self.played.append(output)
        if self.unplugged:
            options["finished_callback"]()
        elif not self.silent:
            signal.raise_signal(signal.SIGTERM)

    def close(self):
        pass


class CallbackAbort(Exception):  # noqa: N818 - its name there
    """As `sounddevice.CallbackAbort`."""


class PortAudioError(Exception):
    """As `sounddevice.PortAudioError`."""


@pytest.fixture
def sound_card(monkeypatch):
    """A device with one input and two outputs; returns its stream."""

    def query_devices(name, kind):
        if name == "none":
            raise ValueError(f"No {kind} device matching 'none'")
        return {"max_input_channels": 1, "max_output_channels": 2}

    module = types.ModuleType("sounddevice")
    module.__spec__ = ModuleSpec("sounddevice", None)
    module.Stream = type("Stream", (Stream,), {})
    module.CallbackAbort, module.PortAudioError = CallbackAbort, PortAudioError
    module.query_devices = query_devices
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module.Stream


def flags(**raised):
    return types.SimpleNamespace(**{**vars(FLAGS), **raised})


def test_a_device_is_heard_with_a_constant_delay(command, ckpt, sound_card):
    sound_card.flags = [FLAGS] * 20
    done = command("live", f"ckpt={ckpt}", "sound_device=[2,default]", "block=100")
    assert done.code == 0, done.err
    assert sound_card.opened["device"] == (2, None)
    assert sound_card.opened["samplerate"] == RATE
    delay = auralflow_pl.load(ckpt).realtime(100).delay
    played = np.concatenate(sound_card.played).T
    heard = np.concatenate(sound_card.heard).T
    expected = auralflow_pl.load(ckpt)(heard)[0]
    assert played.shape == (2, 2000)
    assert abs(played[:, :delay]).max() == 0
    assert abs(played[:, delay:] - expected[:, :-delay]).max() < 1e-5
    assert "20 blocks" in done.err
    assert "0 under-runs, 0 overruns" in done.err


def test_under_runs_of_a_device_are_counted(command, ckpt, sound_card):
    gap, lost = flags(output_underflow=True), flags(input_overflow=True)
    sound_card.flags = [FLAGS, gap, FLAGS, gap, gap, lost]
    done = command("live", f"ckpt={ckpt}", "sound_device=default", "device_latency=0.2")
    assert done.code == 0, done.err
    assert sound_card.opened["latency"] == 0.2
    assert "3 under-runs, 1 overruns" in done.err


@pytest.mark.parametrize(
    "keys, message",
    [
        (["sound_device=none"], "sound_device=none: No input device matching 'none'"),
        (["sound_device=default", "output=x.wav"], "sound_device: is input and output"),
        (["sound_device=[1,2,3]"], "sound_device=[1,2,3]: expected one device, or [input,output]"),
        (["sound_device=[1.5,2]"], "sound_device=[1.5,2]: expected one device, or [input,output]"),
        (["sound_device=true"], "sound_device=True: expected one device"),
        (["sound_device=[2,none]"], "sound_device=[2,none]: No output device matching 'none'"),
        (["sound_device=2", "device_latency=least"], "device_latency=least: expected low, high"),
        (["sound_device=2", "device_latency=-1"], "device_latency=-1: expected low, high"),
    ],
)
def test_a_device_that_cannot_be_used_is_one_line(command, ckpt, sound_card, keys, message):
    assert message in command("live", f"ckpt={ckpt}", *keys).error


@pytest.mark.parametrize("state", ["unplugged", "silent"])
@pytest.mark.parametrize("blocks", [0, 3])
def test_a_device_that_goes_is_an_error(command, ckpt, sound_card, monkeypatch, state, blocks):
    monkeypatch.setattr(sound_device, "GONE_SECONDS", 0.0)
    monkeypatch.setattr(sound_card, state, True)
    sound_card.flags = [FLAGS] * blocks
    done = command("live", f"ckpt={ckpt}", "sound_device=2", "block=100")
    assert done.code == 1
    seconds = blocks * 100 / RATE
    assert f"sound_device=2: gives no sound after {seconds:.1f} s; check" in done.error
    assert ("blocks, real-time factor" in done.err) == (blocks > 0)


def test_a_driver_that_does_not_close_cannot_keep_the_process():
    """PortAudio waits for its driver at the end of the process, too; here a thread waits."""

    def work():
        never = threading.Event()
        atexit._clear()  # those of the tests
        atexit.register(never.wait, 10)
        sound_device.CLOSE_SECONDS = 0.01
        with sound_device.closed_in_time(types.SimpleNamespace(close=never.wait)):
            pass
        atexit._run_exitfuncs()

    assert ended(*forked(work)) == (1, "")


def test_a_fault_in_the_callback_ends_the_stream(command, ckpt, sound_card, monkeypatch):
    process = LiveSession.process

    def failing(self, block):
        return process(self, block * torch.nan if self.blocks == 3 else block)

    monkeypatch.setattr(LiveSession, "process", failing)
    sound_card.flags = [FLAGS] * 10
    assert "NaN" in command("live", f"ckpt={ckpt}", "sound_device=default").error
    assert len(sound_card.played) == 3


def test_portaudio_that_is_not_there_is_one_line(command, ckpt, tmp_path, monkeypatch):
    """As `sounddevice` ends on Linux without PortAudio."""
    text = 'raise OSError("PortAudio library not found")'
    (tmp_path / "sounddevice.py").write_text(text, encoding="utf-8")
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    error = command("live", f"ckpt={ckpt}", "sound_device=default").error
    assert error.startswith("error: sound_device: PortAudio library not found; install PortAudio")


def session(**options):
    network = CausalNetwork(1, 1, 256, width=2, levels=2, hidden_size=4)
    separator = Separator(network, STFT(256, 256, 64), ["vocals"], RATE, 1).eval()
    return LiveSession(separator, None, 64, **options)


def test_blocks_that_take_longer_than_they_last_are_late():
    times = iter([0.0, 0.001, 0.1, 0.2, 0.3, 0.309])  # a block lasts 0.008 s
    made = session(clock=lambda: next(times))
    for _ in range(3):
        made.process(torch.zeros(1, 64))
    assert (made.blocks, made.late) == (3, 2)
    assert "3 blocks, real-time factor 4.58, 2 late" in made.summary()


def test_a_block_that_is_longer_than_agreed_leaves_a_gap():
    """Some hosts change the block; what is missing is silence, and is counted."""
    made = session()
    callback = DeviceCallback(made, 1)
    output = np.full((200, 1), np.nan, np.float32)
    callback.play(np.zeros((10, 1), np.float32), output, FLAGS)
    assert not np.isnan(output).any()
    assert made.under_runs == 1


def test_several_targets_need_a_name():
    network = CausalNetwork(1, 2, 256, width=2, levels=2, hidden_size=4)
    separator = Separator(network, STFT(256, 256, 64), ["vocals", "drums"], RATE, 1).eval()
    with pytest.raises(InputError, match="pass target= one of vocals, drums, rest"):
        LiveSession(separator, None, 64)
    assert LiveSession(separator, "drums", 64).index == 1
