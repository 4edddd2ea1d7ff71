"""Which files are separated, and where their stems go."""

import json
import os

import pytest

from auralflow_pl.errors import InputError
from auralflow_pl.stems.inputs import find_inputs
from auralflow_pl.stems.outputs import OutputTemplate
from auralflow_pl.stems.report_file import REPORT_FORMAT


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"sound")
    return path


def tracks(source, output="/elsewhere"):
    """Names of the tracks that an input means."""
    jobs = find_inputs(str(source), OutputTemplate.of(str(output)))
    return {str(job.path): job.track for job in jobs}


def separate_all(source, output):
    """Make empty stems and their reports where the command would."""
    template = OutputTemplate.of(str(output))
    for job in find_inputs(str(source), template):
        stem = touch(template.path(job.track, "vocals", "wav"))
        report = template.beside(job.track, "report", "json")
        report.parent.mkdir(parents=True, exist_ok=True)
        name = os.path.relpath(stem, report.parent)
        listed = {"vocals": {"file": name, "bytes": stem.stat().st_size}}
        content = {"format": REPORT_FORMAT, "key": "0" * 64, "stems": listed}
        report.write_text(json.dumps(content))


@pytest.mark.parametrize("output", ["", "{track}_{target}.{ext}", "{target}/{track}.{ext}", "new"])
@pytest.mark.parametrize("pattern", ["", "**/*.wav"])
def test_stems_are_never_inputs(tmp_path, output, pattern):
    for name in ("one.wav", "sub/two.wav"):
        touch(tmp_path / name)
    source = f"{tmp_path}/{pattern}" if pattern else tmp_path
    before = tracks(source)
    for _ in range(3):
        separate_all(source, f"{tmp_path}/{output}")
        assert tracks(source, f"{tmp_path}/{output}") == before
    assert len(before) == 2


def test_reports_of_others_hide_nothing(tmp_path):
    touch(tmp_path / "song.wav")
    for content in ("{}", "[]", "no json", '{"stems": {"vocals": 1}}'):
        (tmp_path / "report.json").write_text(content)
        assert list(tracks(tmp_path).values()) == ["song"]


def test_links_are_followed_once(tmp_path):
    song, far = touch(tmp_path / "in" / "x" / "s.wav"), touch(tmp_path / "far" / "t.wav")
    (song.parent / "again").symlink_to(song.parent)
    (tmp_path / "in" / "more").symlink_to(far.parent)
    for source in (tmp_path / "in", f"{tmp_path / 'in'}/**/*.wav"):
        assert sorted(tracks(source).values()) == ["more/t", "x/s"]


def test_links_to_their_own_folder_end(tmp_path):
    """Python's glob takes every way through both links, 2 ** 40 of them."""
    touch(tmp_path / "a.wav"), touch(tmp_path / "sub" / "b.wav")
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(".")
    for pattern in ("**/*.wav", "**", "**/**/*.wav"):
        assert sorted(tracks(f"{tmp_path}/{pattern}").values()) == ["a", "sub/b"]
    assert sorted(tracks(f"{tmp_path}/**/s*/**/*.wav").values()) == ["sub/b"]
    assert list(tracks(f"{tmp_path}/two/**/a.wav")) == [f"{tmp_path}/two/a.wav"]


@pytest.mark.parametrize(
    "entry",
    [
        "file://{0}/sub/a%20b%C3%A4.wav",
        "FILE://localhost{0}/sub/a bä.wav",
        "file:sub/a%20b%C3%A4.wav",
        "sub/a%20bä.wav",
        "sub\\a bä.wav",
        "..\\in\\sub\\a%20b%c3%a4.wav",
    ],
)
def test_lists_with_names_of_other_programs(tmp_path, entry):
    song = touch(tmp_path / "in" / "sub" / "a bä.wav")
    (tmp_path / "in" / "list.m3u8").write_text(entry.format(tmp_path / "in"))
    assert tracks(tmp_path / "in" / "list.m3u8") == {str(song): "sub/a bä"}


@pytest.mark.parametrize("name", ["100%25.wav", "back\\slash.wav"])
def test_a_name_in_a_list_is_first_taken_literally(tmp_path, name):
    touch(tmp_path / "100%.wav"), touch(tmp_path / "back" / "slash.wav")
    song = touch(tmp_path / name)
    (tmp_path / "list.m3u8").write_text(name)
    assert list(tracks(tmp_path / "list.m3u8")) == [str(song)]


def test_files_outside_the_folder_of_a_list_or_glob_keep_no_folders(tmp_path, monkeypatch):
    touch(tmp_path / "far" / "s.wav"), touch(tmp_path / "in" / "x" / "t.wav")
    monkeypatch.chdir(tmp_path / "in")
    touch(tmp_path / "in" / "list.txt").write_text("../far/s.wav\n..\\far\\s.wav\nx/../x/t.wav")
    assert list(tracks("list.txt").values()) == ["s", "x/t"]
    assert list(tracks("x/../../far/*.wav").values()) == ["s"]
    assert list(tracks("*/../../far/*.wav").values()) == ["s"]


@pytest.mark.parametrize("name", ["..wav", "...wav", "....wav"])
def test_no_name_leads_out_of_the_output_folder(tmp_path, name):
    assert list(tracks(touch(tmp_path / name)).values()) == ["track"]
    (tmp_path / "list.txt").write_text(name)
    assert list(tracks(tmp_path / "list.txt").values()) == ["track"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_lists_in_several_encodings(tmp_path, encoding):
    (tmp_path / "list.m3u").write_bytes("Für Elise.wav\r\n".encode(encoding))
    assert list(tracks(tmp_path / "list.m3u").values()) == ["Für Elise"]


def test_what_is_no_list_is_named(tmp_path):
    (tmp_path / "sound.txt").write_bytes(b"RIFF\0\0\0\0WAVE")
    with pytest.raises(InputError, match=r"sound\.txt: no list of files"):
        tracks(tmp_path / "sound.txt")


def test_no_two_files_have_one_track(tmp_path):
    paths = [touch(tmp_path / name) for name in ("a/s.wav", "b/s.wav", "s.wav (2).flac")]
    jobs = find_inputs([str(path) for path in paths], OutputTemplate.of("/elsewhere"))
    assert len({job.track for job in jobs}) == 3


def test_a_file_named_twice_is_one(tmp_path):
    song = touch(tmp_path / "songs" / "a.wav")
    (tmp_path / "again").symlink_to(song.parent)
    (tmp_path / "other.wav").symlink_to(song)
    names = ["songs/a.wav", "songs/../songs/a.wav", "again/a.wav", "other.wav"]
    jobs = find_inputs([f"{tmp_path}/{name}" for name in names], OutputTemplate.of("/elsewhere"))
    assert [job.track for job in jobs] == ["a", "other"]


def test_an_empty_name_and_a_pipe_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="input=: an empty name"):
        tracks("")
    with pytest.raises(InputError, match="no regular file; pass input=-"):
        tracks(tmp_path / "pipe")


def test_templates_without_a_suffix_get_one():
    template = OutputTemplate.of("out/{track} feat. {target}")
    assert str(template.path("x.one", "vocals", "wav")) == "out/x.one feat. vocals.wav"
    assert str(template.beside("x.one", "report", "json")) == "out/x.one feat. report.json"
    assert template.suffix is None
    template = OutputTemplate.of("out${1}/{track}/{target}.{ext}")
    assert str(template.path("x${2}{ext}", "vocals", "wav")) == "out${1}/x${2}{ext}/vocals.wav"
    assert str(template.base) == "out${1}"
    assert OutputTemplate.of("out/{track}/{target}.flac").suffix == "flac"


@pytest.mark.parametrize("end", ["", ".wav", ".{ext}"])
def test_a_template_names_files(end):
    with pytest.raises(InputError, match=r"names no file, expected one such as {track}\.{ext}"):
        OutputTemplate.of(f"stems/{{target}}/{end}")
    with pytest.raises(InputError, match=r"a field has no \$, expected {track}"):
        OutputTemplate.of("stems/{target}/${track}.wav")
