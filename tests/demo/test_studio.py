"""What the demo does with files: limits, secrets, and forgetting."""

import os
import shutil
import socket
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from auralflow_pl.audio.reading import read_audio
from auralflow_pl.config.schema import DemoKeys
from auralflow_pl.config.validation import validate
from auralflow_pl.demo.model_names import BUNDLED_LABEL, named_models
from auralflow_pl.demo.studio import DemoLimits, DemoService
from auralflow_pl.errors import Cancelled, InputError
from auralflow_pl.serving.addresses import bind_socket, server_address
from auralflow_pl.stems.runner import run_within_memory
from support import composed, untrained
from support.damage import encode_aac

RATE = 8000
NAMES = ("vocals", "drums", "residual")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    ckpt = untrained(tmp_path_factory.mktemp("model") / "two.ckpt", "target=[vocals,drums]")
    config = validate(composed("demo", f"ckpt={ckpt}", "engine=torch"), DemoKeys)
    found = named_models(config, CPU)
    assert list(found) == [BUNDLED_LABEL, "two.ckpt"]
    return {"two": found["two.ckpt"]}


@pytest.fixture
def studio(models, tmp_path):
    with DemoService(models, CPU, tmp_path, DemoLimits(0.1, 1, 10), run_within_memory) as studio:
        yield studio


def upload(studio, name="song.wav", seconds=2.0, channels=2):
    """A file that a visitor has left."""
    folder = studio.uploads / "token"
    folder.mkdir(exist_ok=True)
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (round(seconds * RATE), channels))
    soundfile.write(folder / name, noise, RATE, "PCM_16")
    return folder / name


def separate(studio, path, targets=("vocals", "drums"), progress=lambda done, total: None):
    return studio.separate("me", path, "two", targets, progress)


def test_all_sounds_are_as_long_as_the_song_and_stems_add_up(studio):
    path = upload(studio, channels=6)
    folder = studio.results / separate(studio, path, ["drums"])
    heard = [soundfile.info(file) for file in sorted(folder.glob("*.flac"))]
    assert [(info.frames, info.channels) for info in heard] == [(2 * RATE, 1)] * 3
    stems = [read_audio(folder / "stems" / f"{n}.wav").samples for n in ("drums", "residual")]
    assert (sum(stems) - read_audio(path).samples).abs().max() <= 2**-15
    assert not (folder / "stems" / "vocals.wav").exists()


def test_samples_above_full_scale_are_heard_as_they_are_in_the_files_but_quieter(studio):
    path = upload(studio)
    song = 8 * soundfile.read(path)[0]  # up to 2.4
    soundfile.write(path, song, RATE, "FLOAT")
    folder = studio.results / separate(studio, path)
    highest = max(np.abs(soundfile.read(f)[0]).max() for f in (path, *folder.rglob("*.wav")))
    for number, file in enumerate((path, *(folder / f"stems/{n}.wav" for n in NAMES))):
        heard = folder / ("mixture.flac" if number == 0 else f"{number - 1}.flac")
        difference = highest * soundfile.read(heard)[0] - soundfile.read(file)[0]
        assert np.abs(difference).max() <= highest * 2**-15
    quieter = f"the player is {20 * np.log10(highest):.1f} dB quieter than the files"
    assert quieter in (folder / "index.html").read_text()
    quiet = studio.results / separate(studio, upload(studio))
    assert "quieter" not in (quiet / "index.html").read_text()


def test_a_target_that_is_chosen_is_what_the_whole_model_gives(studio):
    path = upload(studio)
    both, one = (
        studio.results / separate(studio, path, t) for t in (("vocals", "drums"), ["drums"])
    )
    assert (both / "stems/drums.wav").read_bytes() == (one / "stems/drums.wav").read_bytes()


def test_songs_that_are_too_long_are_refused_before_and_while_they_are_read(studio, tmp_path):
    with pytest.raises(InputError, match=r"longer than 0.1 minutes.*max_minutes"):
        separate(studio, upload(studio, seconds=7))
    sound = read_audio(upload(studio, seconds=7)).samples
    stream = studio.uploads / "token" / "song.aac"  # whose length nobody knows
    encode_aac(stream, sound.T.numpy(), RATE)
    with pytest.raises(InputError, match=r"longer than 0.1 minutes"):
        separate(studio, stream)
    assert list(studio.results.iterdir()) == []


def test_faults_name_the_file_but_not_its_place(studio):
    path = upload(studio)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"^song\.wav: truncated") as fault:
        separate(studio, path)
    assert str(studio.uploads) not in str(fault.value)
    with pytest.raises(InputError, match="expected at least one"):
        separate(studio, upload(studio), [])
    path.unlink()
    with pytest.raises(InputError, match=r"^song\.wav: is no longer kept"):
        separate(studio, path)


def test_a_cancelled_job_leaves_nothing_and_the_next_one_works(studio):
    path = upload(studio)
    with pytest.raises(Cancelled):
        separate(studio, path, progress=lambda done, total: studio.cancel("me"))
    assert list(studio.results.iterdir()) == []
    assert studio.find(separate(studio, path), "index.html")


def test_only_files_of_a_result_can_be_fetched(studio):
    token = separate(studio, upload(studio))
    assert studio.find(token, "stems/vocals.wav").is_file()
    names = ["..", "../../uploads/token/song.wav", "/etc/passwd", "stems", "", "missing.wav"]
    assert [studio.find(token, name) for name in names] == [None] * 6
    assert [studio.find(t, "token/song.wav") for t in ("..", "../uploads", ".", "")] == [None] * 4


def test_files_that_nobody_uploaded_are_refused_whether_they_exist_or_not(studio, tmp_path):
    foreign = tmp_path / "song.wav"
    upload(studio).rename(foreign)
    link = studio.uploads / "song.wav"
    link.symlink_to(foreign)
    around = studio.uploads / ".." / "song.wav"
    for path in (foreign, tmp_path / "no" / "song.wav", around, link, Path("song.wav\0")):
        with pytest.raises(InputError, match=r"^song\.wav.*: was not uploaded; drop the file"):
            separate(studio, path)
    assert list(studio.results.iterdir()) == []


def test_results_do_not_say_where_files_are_on_the_server(studio):
    folder = studio.results / separate(studio, upload(studio))
    assert [path.suffix for path in (folder / "stems").iterdir()] == [".wav"] * 3
    assert str(studio.uploads) not in (folder / "index.html").read_text()


def grow_old(*folders):
    """Let all that is in folders be older than anything is kept."""
    past = time.time() - 11 * 60
    for folder in folders:
        for entry in (folder, *folder.rglob("*")):
            os.utime(entry, (past, past))


def test_a_song_being_separated_and_its_result_are_not_deleted(studio):
    path = upload(studio)

    def progress(done, total):
        grow_old(studio.uploads, studio.results)
        studio.sweep()

    assert studio.find(separate(studio, path, progress=progress), "index.html")
    grow_old(studio.uploads, studio.results)
    studio.sweep()
    assert list(studio.uploads.iterdir()) == list(studio.results.iterdir()) == []


def test_a_song_that_waits_is_kept_until_its_visitor_cancels(studio):
    path = upload(studio)
    for end in (lambda: separate(studio, path), lambda: studio.cancel("me")):
        upload(studio)
        studio.keep("me", path)
        grow_old(studio.uploads)
        studio.sweep()
        assert path.is_file()
        end()
        studio.sweep()
        assert not path.exists()


def test_old_files_are_deleted_and_fresh_ones_kept(studio):
    example, path = studio.example(), upload(studio)
    old, fresh = separate(studio, path), separate(studio, path)
    left = studio.uploads / "file"
    left.touch()
    grow_old(studio.results / old, path.parent, left)
    studio.sweep()
    assert [entry.name for entry in studio.results.iterdir()] == [fresh]
    assert list(studio.uploads.iterdir()) == []
    assert example.is_file()


def test_a_closed_studio_begins_nothing(models, tmp_path):
    with DemoService(models, CPU, tmp_path, DemoLimits(1, 1, 1), run_within_memory) as studio:
        path = upload(studio)
    with pytest.raises(Cancelled):
        separate(studio, path)
    assert list(studio.results.iterdir()) == []


def test_models_are_shown_by_names_without_folders_of_the_server(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AURALFLOW_CACHE", str(tmp_path / "cache"))
    ckpt = untrained(tmp_path / "two.ckpt")
    assert command("publish", f"ckpt={ckpt}", "name=my-one", "licence=MIT").code == 0
    (tmp_path / "more").mkdir()
    shutil.copy(ckpt, tmp_path / "more" / "two.ckpt")
    given = f"ckpt=[pretrained:my-one,{ckpt},{tmp_path}/more]"
    keys = composed("demo", given, f"registries={tmp_path}/published", "engine=torch")
    found = named_models(validate(keys, DemoKeys), CPU)
    assert list(found) == [BUNDLED_LABEL, "my-one", "two.ckpt", "two.ckpt (2)"]
    assert found["my-one"].path.startswith(str(tmp_path / "cache"))
    assert found["two.ckpt (2)"].path == f"{tmp_path}/more/two.ckpt"


def test_the_server_listens_at_addresses_of_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with bind_socket("::1", 0) as listener:
        port = listener.getsockname()[1]
        assert server_address(listener) == f"http://[::1]:{port}/"
        socket.create_connection(("::1", port)).close()


@pytest.mark.parametrize(
    "key, message",
    [
        ("port=1e9", "port"),
        ("port=99999", "port=99999: expected 0 to 65535; 0 takes a free one"),
        ("host=192.0.2.1", "cannot listen there"),
        ("host='2001:db8::1'", "host=2001:db8::1 port=0: cannot listen there"),
        ("ckpt=[]", "ckpt: an empty list; expected checkpoints"),
        ("max_minutes=0", "max_minutes=0.0: expected more than 0"),
        ("qeue=3", "qeue: no such key, did you mean 'queue'?"),
        ("ckpt=missing.ckpt", "missing.ckpt"),
    ],
)
def test_faulty_keys_are_told_in_a_line(command, key, message):
    assert message in command("demo", "port=0", key).error
