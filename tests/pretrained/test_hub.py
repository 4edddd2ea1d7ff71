"""Publishing on the Hugging Face Hub, with its own client and a server of our own."""

import pytest
import yaml

from auralflow_pl.pretrained.registry import read_registry
from support.hub import TOKEN, Hub


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("AURALFLOW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    with Hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.base)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


def publish(command, ckpt, *arguments):
    return command("publish", ckpt, "name=mine", "licence=CC-BY-4.0", *arguments)


def test_a_model_is_uploaded_and_used_from_the_hub(hub, command, ckpt, tmp_path):
    done = publish(command, f"ckpt={ckpt}", "hub=me/mine", "push=true", "private=true")
    assert done.code == 0, done.err
    assert f"{hub.base}/me/mine: uploaded" in done.out
    assert "private" in (hub.asked["me/mine"].get("visibility"), *hub.asked["me/mine"])
    assert set(hub.files) == {"me/mine/mine.zip", "me/mine/mine.yaml", "me/mine/README.md"}
    archive = tmp_path / "published" / "mine.zip"
    assert hub.files["me/mine/mine.zip"] == archive.read_bytes()
    archive.unlink()
    copy = tmp_path / "mine.yaml"
    copy.write_bytes(hub.files["me/mine/mine.yaml"])
    done = command("download", "mine", f"registries={copy}")
    assert done.code == 0, done.err
    assert len(list((tmp_path / "cache" / "models").glob("mine-*.zip"))) == 1


def test_the_card_has_what_the_hub_reads(hub, command, ckpt, tmp_path):
    done = publish(command, f"ckpt={ckpt}", "hub=me/mine", "base_model=me/other", "half=true")
    assert done.code == 0, done.err
    assert not hub.files
    _, front, card = (tmp_path / "published" / "mine.md").read_text("utf-8").split("---\n", 2)
    data = yaml.safe_load(front)
    assert data["license"] == "cc-by-4.0"
    assert data["pipeline_tag"] == "audio-to-audio"
    assert data["base_model"] == "me/other"
    assert {"music-source-separation", "vocals"} <= set(data["tags"])
    (entry,) = read_registry(tmp_path / "published" / "mine.yaml")
    assert entry.files[0].sources[0] == "hf://me/mine/mine.zip"
    scores = [
        (metric["type"], metric["value"])
        for model in data.get("model-index", [])
        for result in model["results"]
        for metric in result["metrics"]
    ]
    assert scores == [(m.name, v.value) for m in entry.metrics for v in m.values]
    assert card.strip().startswith("# vocals")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["push=true"], "push=true: where to? pass hub=<user>/<repository>"),
        (["hub=me"], "hub=me: expected <user>/<repository>"),
    ],
)
def test_mistakes(hub, command, ckpt, arguments, message, tmp_path):
    done = publish(command, f"ckpt={ckpt}", *arguments)
    assert done.code == 1
    assert message in done.error
    assert not (tmp_path / "published").exists()


def test_a_refused_upload_keeps_the_files(hub, command, ckpt, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    done = publish(command, f"ckpt={ckpt}", "hub=me/mine", "push=true")
    assert done.code == 1
    assert "hub=me/mine: not uploaded: " in done.error
    assert (tmp_path / "published" / "mine.zip").is_file()
    monkeypatch.delenv("HF_TOKEN")
    again = publish(command, f"ckpt={ckpt}", "hub=me/mine", "push=true", "overwrite=true")
    assert "push=true: no token of the Hugging Face Hub" in again.error
