"""Pretrained models: registries, the cache, and the way from a run to somebody else's machine."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
import yaml

import auralflow_pl
from auralflow_pl.errors import InputError
from auralflow_pl.pretrained import registry
from auralflow_pl.pretrained.cache import cached_path, fetch_model, location, resolve_ckpt
from auralflow_pl.pretrained.locations import (
    PACKAGED_REGISTRY,
    SMALL_MODEL,
    models_folder,
    output_root,
)
from auralflow_pl.pretrained.registry import find_entry, read_registries, read_registry
from auralflow_pl.separator.load import load_separator
from support import REPOSITORY, composed, fitting, option_names, python, untrained
from support.web import Web, ranged, whole

CONTENT = os.urandom(200_000)


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """A user who has nothing yet."""
    monkeypatch.setenv("AURALFLOW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv(registry.REGISTRY_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def web():
    with Web() as server:
        yield server


def entry(*sources, content=CONTENT, **changes):
    """An entry that is right but for the changes; None takes a key out."""
    whole_entry = {
        "targets": ["vocals"],
        "architecture": "vae",
        "data": "songs",
        "licence": "MIT",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "sources": list(sources) or ["model.zip"],
    } | changes
    return {key: value for key, value in whole_entry.items() if value is not None}


def written(path, **models):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({"format": 1, "models": models}))
    return path


def named(path, *sources, name="vae-vocals", **changes):
    """The only entry of a new registry."""
    written(path, **{name: entry(*sources, **changes)})
    (found,) = read_registry(path)
    return found


def test_the_registry_of_the_package_is_true():
    entries = {entry.name: entry for entry in read_registry(PACKAGED_REGISTRY)}
    found = entries["mixing-vocals"]
    assert fetch_model(found) == SMALL_MODEL
    assert load_separator("pretrained:mixing-vocals").targets == found.targets
    assert found.architecture in option_names("model")
    assert auralflow_pl.load("mixing", target="vocals").targets == ("vocals",)
    card = (SMALL_MODEL / "README.md").read_text()
    for value in found.metrics[0].values:
        assert f"| {value.value:.2f} | {value.mixture:.2f} |" in card
    assert not models_folder().exists()
    assert set(entries) == {
        "umxl",
        "spleeter-vocals",
        "spleeter-2stems",
        "umx",
        "umxhq",
        "mixing-vocals",
        "umxse",
    }
    for name in ("umxl", "umx", "umxhq", "umxse"):  # published names hold digits of the digest
        for file in entries[name].files:
            assert re.search("[-_]([0-9a-f]{8})[.]pth$", file.name)[1] == file.sha256[:8]
            assert file.sources[0].endswith(f"/{file.name}")


METRIC = {"name": "sdr", "definition": "of all", "values": []}


@pytest.mark.parametrize(
    "name, changes, message",
    [
        ("../x", {}, "../x: not a name; use up to 64 letters, digits, - and _"),
        ("a/b", {}, "a/b: not a name"),
        ("a.b", {}, "a.b: not a name"),
        (".a", {}, ".a: not a name"),
        ("-a", {}, "-a: not a name"),
        ("a\x1b[2J", {}, r"'a\x1b[2J': not a name"),
        ("x" * 65, {}, "not a name"),
        ("", {}, "not a name"),
        (7, {}, "7: not a name"),
        ("a", {"sha256": None}, "a.sha256: is missing"),
        ("a", {"sha256": "abc"}, "a.sha256=abc: expected 64 hexadecimal digits"),
        ("a", {"sha256": 5}, "a.sha256=5: expected 64 hexadecimal digits"),
        ("a", {"sha265": "x"}, "a.sha265: no such key, did you mean 'sha256'?"),
        ("a", {"\x1b[2J": "x"}, r"a.'\x1b[2J': no such key"),
        ("a", {"size": "5 MB"}, "a.size=5 MB: expected bytes, from 1 to 4294967296"),
        ("a", {"size": 0}, "a.size=0: expected bytes"),
        ("a", {"size": True}, "a.size=True: expected bytes"),
        ("a", {"size": 2**33}, "a.size=8589934592: expected bytes"),
        ("a", {"targets": "vocals"}, "a.targets=vocals: expected a list"),
        ("a", {"targets": []}, "a.targets=a list: expected a list"),
        ("a", {"targets": [1]}, "a.targets=a list: expected text"),
        ("a", {"licence": ""}, "a.licence=: expected text"),
        ("a", {"data": "x\x1b[2J"}, "expected text without control characters"),
        (
            "a",
            {"sources": ["ftp://a/b"]},
            "paths, or addresses with https, http, hf, file, package",
        ),
        ("a", {"sources": ["https://me:pw@a/b"]}, "expected addresses without a password"),
        ("a", {"metrics": [{**METRIC, "names": 1}]}, "a.metrics.names: no such key"),
        ("a", {"metrics": [METRIC]}, "a.metrics.values=a list: expected a list"),
        (
            "a",
            {"metrics": [{**METRIC, "values": [{"value": "nan"}]}]},
            "a.metrics.target: is missing",
        ),
    ],
)
def test_wrong_entries_are_named(tmp_path, name, changes, message):
    path = tmp_path / "mine.yaml"
    content = {"format": 1, "models": {name: entry(**changes)}}
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError) as caught:
        read_registry(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is None, expected keys format, models"),
        ("[1]", "is a list, expected keys format, models"),
        ("format: 2\nmodels: {}", "format=2; this version reads format 1"),
        ("format: 1\nmodels: 5", "models=5: expected keys and values"),
        ("format: 1\nmodels: {a: 5}", "a: is 5, expected keys targets, "),
        ("format: 1\nmodels: {a: {}, a: {}}", "duplicate key a"),
        ("format: 1\nmodel: {}", "model: no such key, did you mean 'models'?"),
        ("a: !!python/object/apply:os.system ['touch harm']", "not YAML with plain values"),
        ("a: &x [1]\nb: [*x, *x]", "holds a reference (*); write it out"),
        ("[" * 1000, "not YAML with plain values"),
        ("a: 2020-99-99", "not YAML with plain values"),
        ("format: " + "9" * 5000, "not YAML with plain values"),
        ("format: 0x" + "f" * 5000 + "\nmodels: {}", "format=a huge number"),
        ("\x00", "not YAML with plain values"),
        ("x" * 2**21, "longer than 1048576 bytes"),
    ],
)
def test_wrong_registries_are_named(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_registry(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert not (tmp_path / "harm").exists()


def test_registries_are_found_and_the_first_one_counts(tmp_path, monkeypatch):
    given = written(tmp_path / "given.yaml", one=entry(data="given"))
    written(tmp_path / "team" / "a.yaml", one=entry(), two=entry(data="team"))
    written(
        tmp_path / "config" / "auralflow_pl" / "registry" / "b.yaml", two=entry(), three=entry()
    )
    monkeypatch.setenv(registry.REGISTRY_VARIABLE, os.pathsep.join([str(tmp_path / "team")]))
    found = read_registries(str(given))
    packaged = [entry.name for entry in read_registry(PACKAGED_REGISTRY)]
    assert list(found) == ["one", "two", "three", *packaged]
    assert [found[name].data for name in ("one", "two")] == ["given", "team"]
    assert found["two"].files[0].sources == (str(tmp_path / "team" / "model.zip"),)
    with pytest.raises(InputError, match=r"registries=nowhere: no registry; expected a \.yaml"):
        read_registries(["nowhere"])
    monkeypatch.setenv(registry.REGISTRY_VARIABLE, "nowhere")
    with pytest.raises(InputError, match="AURALFLOW_REGISTRY=nowhere: no registry"):
        read_registries()


@pytest.mark.parametrize(
    "name, target, expected",
    [
        ("vae-vocals", None, "vae-vocals"),
        ("pretrained:vae-vocals", None, "vae-vocals"),
        ("vae", "vocals", "vae-vocals"),
        ("vae", ["bass", "drums"], "vae-band"),
        ("vae", "bass", "vae-band"),
        ("vae", "other", "vae-both"),
        ("lstm", None, "lstm-all"),
        ("vae", None, "vae: several models; pass the name of one: vae-band (drums+bass), vae-b"),
        ("lstm", "bass", "target=bass: lstm has no such model; there are lstm-all (vocals)"),
        ("vae-vocals", "drums", "target=drums: vae-vocals has no such model"),
        ("vea-vocals", None, "vea-vocals: no such model in the package, "),
        ("vea-vocals", None, "did you mean 'vae-vocals'?"),
        ("../x", None, "../x: no such model"),
    ],
)
def test_models_are_found_by_name_or_architecture(tmp_path, name, target, expected):
    models = {
        "vae-vocals": entry(),
        "vae-band": entry(targets=["drums", "bass"]),
        "vae-both": entry(targets=["vocals", "other"]),
        "lstm-all": entry(architecture="lstm"),
    }
    path = written(tmp_path / "r.yaml", **models)
    entries = {e.name: e for e in (*read_registry(PACKAGED_REGISTRY), *read_registry(path))}
    if expected in models:
        assert find_entry(entries, name, target).name == expected
        return
    with pytest.raises(InputError) as caught:
        find_entry(entries, name, target)
    assert expected in str(caught.value)


def test_what_is_neither_a_file_nor_a_model(tmp_path):
    with pytest.raises(InputError, match="ckpt=mixin: no such file, nor a model: mixin: no such"):
        auralflow_pl.load("mixin")
    with pytest.raises(InputError, match=r"ckpt=best\.ckpt: no such file; expected a checkpoint"):
        auralflow_pl.load("best.ckpt")
    with pytest.raises(InputError, match="mixin: no such model in the package; more"):
        auralflow_pl.load("mixin", target="vocals")
    model = named(tmp_path / "r.yaml", "~nobody-of-that-name/x")
    with pytest.raises(InputError, match="nobody-of-that-name/x: no such file"):
        auralflow_pl.load("vae-vocals", registries=["r.yaml"])
    assert not cached_path(model).exists()
    (tmp_path / "mixing").mkdir()  # a path comes first
    with pytest.raises(InputError, match="ckpt=mixing: no such file in this folder"):
        auralflow_pl.load("mixing")


def test_what_cannot_be_reached_can_be_brought_by_hand(web, tmp_path):
    model = named(tmp_path / "r.yaml", f"{web.base}/a", f"{web.base}/b")
    with pytest.raises(InputError) as caught:
        fetch_model(model)
    line, path = str(caught.value), cached_path(model)
    assert line.count("\n") == 0
    assert f"{web.base}/a: HTTP 404 Not Found; {web.base}/b: HTTP 404 Not Found" in line
    assert f"nothing at {path}" in line
    assert f"copy the file with 200000 bytes and SHA-256 {model.sha256} to that path" in line
    path.write_bytes(CONTENT[::-1])
    with pytest.raises(InputError, match="a file with other bytes at"):
        fetch_model(model)
    path.write_bytes(CONTENT)
    asked = len(web.asked)
    assert fetch_model(model).read_bytes() == CONTENT
    assert len(web.asked) == asked


def test_wrong_bytes_never_get_the_name(web, tmp_path):
    model = named(tmp_path / "r.yaml", web.add("/a", whole(CONTENT[::-1])))
    with pytest.raises(InputError, match="other bytes: SHA-256"):
        fetch_model(model)
    assert [path.suffix for path in models_folder().iterdir()] == [".lock"]


def test_an_unwritable_cache_and_a_full_one(web, tmp_path, monkeypatch):
    model = named(tmp_path / "r.yaml", f"{web.base}/a", size=2**32)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5))
    with pytest.raises(InputError, match=r"needs 4295\.0 MB, 0\.0 MB are free; make room, or set"):
        fetch_model(model)
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv("AURALFLOW_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="vae-vocals is not kept: Not a directory"):
        fetch_model(model)


FETCH = (
    "from auralflow_pl.pretrained.cache import resolve_ckpt; "
    "print(resolve_ckpt('pretrained:vae-vocals'))"
)


def started(tmp_path, *arguments):
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env={**os.environ, registry.REGISTRY_VARIABLE: str(tmp_path / "r.yaml")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_at_once_fetch_a_model_once(web, tmp_path):
    model = named(tmp_path / "r.yaml", web.add("/a", ranged(CONTENT)))
    web.delay = 0.04  # about a second in all
    processes = [started(tmp_path, "-c", FETCH) for _ in range(2)]
    for process in processes:
        assert process.communicate(timeout=60) == (f"{cached_path(model)}\n", "")
    assert web.asked == [("/a", None)]
    assert cached_path(model).read_bytes() == CONTENT


def test_an_interrupted_download_goes_on(web, tmp_path):
    model = named(tmp_path / "r.yaml", web.add("/a", ranged(CONTENT)))
    web.delay = 0.1
    process = started(tmp_path, "-m", "auralflow_pl", "download", "vae-vocals")
    part = cached_path(model).with_name(f"{cached_path(model).name}.part")
    while not (part.is_file() and part.stat().st_size):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1].splitlines() == [
        f"fetching vae-vocals, 0.2 MB, into {models_folder()}",
        "error: interrupted",
    ]
    assert process.returncode == 130
    there = part.stat().st_size
    assert 0 < there < len(CONTENT)
    assert not cached_path(model).exists()
    web.delay = 0.0
    assert fetch_model(model).read_bytes() == CONTENT
    assert web.asked == [("/a", None), ("/a", there)]
    assert not part.exists()


def test_the_cache_is_shown_and_emptied(web, command, tmp_path):
    long = "a-name-that-takes-more-than-its-column"
    written(
        tmp_path / "r.yaml",
        **{"vae-vocals": entry(web.add("/a", ranged(CONTENT))), "vae": entry()},
        **{long: entry("https://x/y", targets=["vocals", "drums", "bass", "other"])},
    )
    done = command("download", "vae-vocals", "registries=r.yaml")
    path = tmp_path / done.out.partition(": vae-vocals, 0.2 MB, verified")[0]
    assert path.read_bytes() == CONTENT
    shown = command("models", "registries=[r.yaml]").out.splitlines()
    assert max(map(len, shown[:-1])) <= 80
    last = [line.split()[-1] for line in shown[1:5]]
    assert last == [long, "remote", "remote", "cached"]
    assert any(re.fullmatch("mixing-vocals .* bundled", line) for line in shown)
    assert "vocals+drums+ba\N{HORIZONTAL ELLIPSIS}" in shown[2]
    full = command("models", "vae-vocals", "registries=r.yaml").out
    assert f"cached        {path}" in full
    assert hashlib.sha256(CONTENT).hexdigest() in full
    assert path.name in command("models").out  # no registry knows it, but it is there
    assert command("models", "remove=vae").error.startswith("error: remove=vae: not in the cache")
    assert command("models", "remove=vae-vocals").out == f"{path}: removed\n"
    assert not path.exists()
    assert "not in the cache" in command("models", "remove=mixing-vocals").error
    assert "not a name" in command("models", "remove=../x").error
    assert "either a name" in command("models", "vae", "remove=vae").error
    assert SMALL_MODEL.is_dir()


def parts(web, **changes):
    """Files of an entry in parts, whose sizes only the server states."""
    contents = {f"{stem}.pth": os.urandom(90_000) for stem in ("vocals", "drums")}
    files = {
        name: {
            "sha256": hashlib.sha256(content).hexdigest()[:8],
            "sources": [web.add(f"/{name}", ranged(content))],
        }
        for name, content in contents.items()
    }
    files["vocals.pth"] |= changes
    gone = dict.fromkeys(("size", "sha256", "sources"))
    return contents, entry(files=files, **gone)


def test_files_of_unknown_size_are_fetched_into_a_folder(web, command, tmp_path):
    contents, model = parts(web)
    written(tmp_path / "r.yaml", umx=model)
    shown = command("models", "registries=r.yaml").out
    assert re.search(r"umx +vocals +vae +\? +MIT +remote", shown)
    done = command("download", "umx", "registries=r.yaml")
    folder = tmp_path / done.out.partition(": umx, 0.2 MB, verified")[0]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents
    asked = len(web.asked)
    assert command("download", "umx", "registries=r.yaml").code == 0
    assert len(web.asked) == asked
    full = command("models", "umx", "registries=r.yaml").out
    assert f"{hashlib.sha256(contents['vocals.pth']).hexdigest()[:8]}..." in full
    assert f"cached        {folder}" in full
    (folder / "vocals.pth").write_bytes(b"spoilt")
    assert command("download", "umx", "registries=r.yaml").code == 0
    assert (folder / "vocals.pth").read_bytes() == contents["vocals.pth"]
    error = command("download", "umx", "registries=r.yaml", "save=copies").error
    assert "umx is published as several files" in error
    assert "auralflow import-model umx output=copies" in error
    assert folder.name in command("models").out  # no registry knows it, but it is there
    assert command("models", "remove=umx").out == f"{folder}: removed\n"
    assert not folder.exists()


def test_what_parts_cannot_be_fetched_says_which(web, tmp_path):
    _, model = parts(web, sha256="0" * 8)
    written(tmp_path / "r.yaml", umx=model)
    (found,) = read_registry(tmp_path / "r.yaml")
    with pytest.raises(InputError, match=r"umx/vocals\.pth: not fetched: .*other bytes: SHA-256"):
        fetch_model(found)
    assert [path.name for path in cached_path(found).iterdir()] == ["drums.pth"]
    _, model = parts(web, sources=["package://nowhere/vocals.pth", f"{web.base}/none"])
    written(tmp_path / "r.yaml", umx=model)
    (found,) = read_registry(tmp_path / "r.yaml")
    with pytest.raises(InputError, match=r"no package nowhere; .*/none: HTTP 404 Not Found"):
        fetch_model(found)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"sha256": "abc"}, "or at least the first 8"),
        ({"sources": []}, "umx.files.vocals.pth.sources=a list: expected a list"),
        ({"name": "x"}, "umx.files.vocals.pth.name: no such key"),
    ],
)
def test_wrong_parts_are_named(web, tmp_path, changes, message):
    written(tmp_path / "r.yaml", umx=parts(web, **changes)[1])
    with pytest.raises(InputError, match=re.escape(message)):
        read_registry(tmp_path / "r.yaml")
    model = entry(files={"../x": {}}, size=None, sha256=None, sources=None)
    with pytest.raises(InputError, match=r"umx\.files\.\.\./x: not a file name"):
        read_registry(written(tmp_path / "r.yaml", umx=model))


def test_a_package_carries_a_file_without_being_imported(tmp_path, monkeypatch):
    package = tmp_path / "site" / "weights_of_others"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "model.bin").write_bytes(CONTENT)
    model = named(tmp_path / "r.yaml", "package://weights_of_others/model.bin")
    assert location(model) == "remote"
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert location(model) == "local"
    assert fetch_model(model).read_bytes() == CONTENT
    assert location(model) == "cached"


def test_the_best_model_on_this_machine_separates(command, tmp_path, monkeypatch):
    soundfile.write("song.wav", np.random.default_rng(1).uniform(-0.1, 0.1, 22050), 22050)
    done = command("separate", "input=song.wav")
    assert "no ckpt is given: pretrained:spleeter-vocals is the best model on this" in done.err
    better = shutil.copytree(SMALL_MODEL, tmp_path / "better")
    found = next(e for e in read_registry(PACKAGED_REGISTRY) if e.name == "mixing-vocals")
    digest = {"size": found.size, "sha256": found.sha256, "sources": [str(better)]}
    written(
        tmp_path / "config" / "auralflow_pl" / "registry" / "mine.yaml",
        umxl=entry(**digest, description="Mine.", licence="CC-BY-NC-4.0"),
    )
    done = command("separate", "input=song.wav", "output=second")
    line = "pretrained:umxl is the best model on this machine: Mine. Licence: CC-BY-NC-4.0"
    assert f"no ckpt is given: {line}" in done.err
    assert (tmp_path / "second" / "song" / "vocals.wav").is_file()


def test_an_imported_model_is_a_model_of_the_user(command, tmp_path):
    done = command("import-model", str(SMALL_MODEL), "name=mine", "licence=MIT", "half=true")
    registries = tmp_path / "config" / "auralflow_pl" / "registry"
    assert f"{registries / 'mine'}: 6.3 MB of weights, rounded to float16" in done.out
    assert "auralflow separate ckpt=pretrained:mine input=song.mp3" in done.out
    assert load_separator("pretrained:mine").targets == ("vocals",)
    card = (registries / "mine" / "README.md").read_text()
    assert "## Imported from" in card
    assert found_digest(SMALL_MODEL) in card
    again = command("import-model", str(SMALL_MODEL), "name=mine")
    assert again.error.startswith(f"error: {registries / 'mine'}: is there already; pass another")
    assert command("import-model", str(SMALL_MODEL), "name=mine", "overwrite=true").code == 0
    done = command("import-model", "mixing-vocals", "output=here")
    assert "mixing-vocals input=song.mp3 registries=here/mixing-vocals.yaml" in done.out
    (copy,) = read_registry(tmp_path / "here" / "mixing-vocals.yaml")
    packaged = next(e for e in read_registry(PACKAGED_REGISTRY) if e.name == "mixing-vocals")
    assert (copy.metrics, copy.data, copy.licence) == (packaged.metrics, packaged.data, "MIT")
    (tmp_path / "notes.txt").write_text("no weights")
    for source, message in [
        ("nowhere.pth", "source=nowhere.pth: no such file, nor a model: nowhere.pth: no such"),
        ("notes.txt", "ckpt=notes.txt: "),
    ]:
        done = command("import-model", source)
        assert done.code == 1
        assert message in done.error
        assert not list(registries.glob("no*"))


def found_digest(folder):
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_a_copy_is_saved_where_the_user_says(command, tmp_path):
    done = command("download", "mixing", "target=vocals", "save=copies")
    assert done.out.startswith("copies/mixing-vocals.zip: mixing-vocals, 6.3 MB, verified")
    assert load_separator("copies/mixing-vocals.zip").targets == ("vocals",)
    assert command("download", "mixing", "save=copies").code == 0
    (tmp_path / "other.zip").write_text("mine")
    assert "another file is there" in command("download", "mixing", "save=other.zip").error
    assert (tmp_path / "other.zip").read_text() == "mine"
    assert "did you mean 'mixing'" in command("download", "mixin").error
    assert "target=drums: mixing has no such" in command("download", "mixing", "target=drums").error
    assert "missing required key: name" in command("download").error


@pytest.fixture
def measured_run(command, songs, tmp_path):
    """A run folder with an evaluation."""
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    ckpt = untrained(folder / "checkpoints" / "best.ckpt")
    done = command("evaluate", f"ckpt={ckpt}", *EVALUATION, f"data.root={songs}")
    assert done.code == 0, done.err
    return folder


EVALUATION = ("data=stem_folder", "metrics=[si_sdr]", "references=[mixture]", "report=false")


def test_a_run_goes_out_and_comes_back(command, web, measured_run, songs, tmp_path):
    done = command("publish", "run", "name=tiny", "licence=MIT", f"sources=[{web.base}/tiny.zip]")
    assert done.code == 0, done.err
    assert "published/tiny.yaml: the entry tiny" in done.out
    content = yaml.safe_load((tmp_path / "published" / "tiny.yaml").read_text())
    published = content["models"]["tiny"]
    table = json.loads((measured_run / "eval/best/synthetic-test/eval.json").read_text())
    assert published["sources"] == [f"{web.base}/tiny.zip", "tiny.zip"]
    assert (published["architecture"], published["targets"]) == ("simple", ["vocals"])
    values = published["metrics"][0]["values"]
    assert [value["value"] for value in values] == [
        round(one["values"]["estimate"], 3) for one in table["aggregates"]
    ]
    assert values[0]["tracks"] == 2
    assert "Le Roux" in published["metrics"][0]["definition"]

    archive = tmp_path / "published" / "tiny.zip"
    web.add("/tiny.zip", ranged(archive.read_bytes(), [1000]))
    archive.unlink()
    registries = "published/tiny.yaml"
    audio = torch.randn(2, 20000) * 0.3
    expected = load_separator(measured_run / "checkpoints" / "best.ckpt")(audio)
    separator = auralflow_pl.load("simple", target="vocals", registries=registries)
    assert torch.equal(separator(audio), expected)
    assert torch.equal(auralflow_pl.load("tiny", registries=registries)(audio), expected)
    assert web.asked == [("/tiny.zip", None), ("/tiny.zip", 1000)]


def test_commands_take_pretrained_models(command, measured_run, songs, tmp_path, monkeypatch):
    assert command("publish", "run", "name=tiny", "licence=MIT").code == 0
    monkeypatch.setenv(registry.REGISTRY_VARIABLE, "published")
    song = np.random.default_rng(0).uniform(-0.3, 0.3, (9000, 2))
    soundfile.write("song.wav", song, 44100)
    path = resolve_ckpt("pretrained:tiny")
    for ckpt, output in (("pretrained:tiny", "a"), ("[pretrained:tiny]", "b"), (path, "c")):
        done = command("separate", f"ckpt={ckpt}", "input=song.wav", f"output={output}")
        assert done.code == 0, done.err
    stems = [(tmp_path / name / "song" / "vocals.wav").read_bytes() for name in "abc"]
    assert stems[0] == stems[1] == stems[2]
    assert command("export", "ckpt=pretrained:tiny").code == 0
    assert (tmp_path / "export" / path.stem / "model.safetensors").is_file()
    done = command("evaluate", "ckpt=pretrained:tiny", *EVALUATION, f"data.root={songs}")
    assert done.code == 0, done.err
    again = (tmp_path / "eval" / path.stem / "synthetic-test" / "eval.csv").read_text()
    assert again == (measured_run / "eval/best/synthetic-test/eval.csv").read_text()
    assert (
        "did you mean 'tiny'" in command("separate", "ckpt=pretrained:tny", "input=song.wav").error
    )
    monkeypatch.delenv(registry.REGISTRY_VARIABLE)
    for name, *keys in (
        ("separate", "input=song.wav", "output=d"),
        ("export", "output=d.zip"),
        ("evaluate", *EVALUATION, f"data.root={songs}", "output=d/eval"),
        ("publish", "name=again", "licence=MIT"),
    ):
        given = (name, "ckpt=pretrained:tiny", *keys)
        assert "tiny: no such model in the package" in command(*given).error
        done = command(*given, "registries=published/tiny.yaml")
        assert done.code == 0, done.err
    assert (tmp_path / "d" / "song" / "vocals.wav").read_bytes() == stems[0]
    assert output_root(SMALL_MODEL) == output_root(path) != output_root(tmp_path / "best.ckpt")


def test_mistakes_in_publishing(command, tmp_path):
    untrained(tmp_path / "best.ckpt")
    good = ("best.ckpt", "name=tiny", "licence=MIT")
    for change, message in (
        ("name=../x", "name=../x: not a name; use up to 64 letters"),
        ("licence=null", "licence=null: expected a value"),
        ("sources=[ftp://x/y]", "tiny.sources=a list: expected paths, or addresses with https"),
        ("output=best.ckpt", "best.ckpt is a file, expected a folder"),
        ("ckpt=nowhere", "ckpt=nowhere: no such file"),
    ):
        assert message in command("publish", *good, change).error
        assert not (tmp_path / "published").exists()
    assert command("publish", *good).code == 0
    assert (
        "is there already; pass another name or overwrite=true" in command("publish", *good).error
    )
    text = "Für alle: it's (mostly) vocals, 3 hours"
    named = (f"description={text}", f"trained_on={text}", f"licence={text}")
    assert command("publish", *good, *named, "overwrite=true", "half=true").code == 0
    entry = read_registry(tmp_path / "published" / "tiny.yaml")[0]
    assert (entry.description, entry.data, entry.licence) == (text, text, text)
    assert sorted(path.name for path in (tmp_path / "published").iterdir()) == [
        "tiny.yaml",
        "tiny.zip",
    ]
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    assert (
        "ckpt=run: no best.ckpt or last.ckpt in run/checkpoints"
        in command("publish", "run", "name=other", "licence=MIT").error
    )


@pytest.mark.parametrize("option", option_names("model"))
def test_architectures_are_recognised(option):
    from auralflow_pl.config.instantiate import to_plain
    from auralflow_pl.publishing.entry import architecture_of

    model = to_plain(
        composed("train", *fitting(f"model={option}", "model.width=10", "model.dropout=0.1")).model
    )
    assert architecture_of(model) == option
    assert architecture_of({"_target_": "plain_network.PlainNetwork"}) == "PlainNetwork"


def test_listing_models_needs_no_torch():
    probe = (
        "import sys; from auralflow_pl.cli import main; sys.argv = ['models']; main.run('models'); "
    )
    heavy = "assert not {'torch', 'requests', 'huggingface_hub'} & set(sys.modules)"
    done = python("-c", probe + heavy, cwd=REPOSITORY)
    assert done.code == 0, done.err
    assert "mixing-vocals" in done.out
