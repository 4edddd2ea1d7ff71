"""Models that are passed on: the same after the way out and back, and what goes with them."""

import hashlib
import json
import os
import subprocess
import sys
import time
import zipfile

import onnx
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from auralflow_pl.checkpoints.contents import describe_model, without_folders
from auralflow_pl.checkpoints.reading import load_checkpoint
from auralflow_pl.config.instantiate import to_plain
from auralflow_pl.errors import InputError
from auralflow_pl.models.base import MaskEstimate, MaskEstimator
from auralflow_pl.pretrained.locations import SMALL_MODEL
from auralflow_pl.publishing.exporting import load_model
from auralflow_pl.separator.build import make_network, new_separator
from auralflow_pl.separator.engines.engine import choose_engine
from auralflow_pl.separator.engines.graph_cache import MAX_GRAPHS, graph_folder
from auralflow_pl.separator.engines.graph_file import weights_file
from auralflow_pl.separator.engines.onnx import OnnxNetwork, export_onnx
from auralflow_pl.separator.engines.onnx_trace import QuietExport
from auralflow_pl.separator.engines.torchscript import export_torchscript
from auralflow_pl.separator.load import load_separator
from auralflow_pl.system.extras import install_line
from auralflow_pl.system.files import STALE_SECONDS
from auralflow_pl.training.task import SeparationTask
from support import TINY, composed, fitting, option_names

SMALL = ("model.width=4", "stft.n_fft=512", "stft.hop_length=128")


@pytest.fixture(scope="module", params=option_names("model"))
def saved(request, tmp_path_factory):
    """A checkpoint of every network, with statistics that are not those of the beginning."""
    overrides = [f"model={request.param}", "target=[vocals,drums]", "audio.channels=2", *SMALL]
    overrides += ["model.bottleneck.hidden_size=24", "model.hidden_size=24", "hydra.run.dir=."]
    config = to_plain(composed("train", *fitting(*overrides, "model.segment_frames=64")))
    separator = new_separator(config, config["data"]["stems"])
    with torch.no_grad():
        for _ in range(3):
            separator.train().separate_chunk(torch.randn(2, 2, 40000))
    task = SeparationTask(separator, {}, config["data"]["stems"], None, config=config)
    content = {"state_dict": task.state_dict(), "global_step": 7}
    task.on_save_checkpoint(content)
    path = tmp_path_factory.mktemp(request.param) / "checkpoints" / "best.ckpt"
    path.parent.mkdir()
    torch.save(content, path)
    return path


def exported(command, saved, suffix, form):
    """The model in another form, made once for all tests."""
    path = saved.parent.parent / f"shared{suffix}"
    if path.exists():
        return path
    done = command("export", f"ckpt={saved}", f"format={form}", f"output={path}")
    assert done.code == 0, done.err
    assert str(path) in done.out
    return path


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_safetensors_come_back_bit_identical(command, saved, suffix):
    path = exported(command, saved, suffix, "safetensors")
    audio = torch.randn(2, 30000) * 0.3
    before, after = load_separator(saved), load_separator(path)
    assert after.target_stems == before.target_stems == {"vocals": ("vocals",), "drums": ("drums",)}
    assert torch.equal(after(audio), before(audio))
    weights, again = load_checkpoint(saved).weights, load_checkpoint(path).weights
    assert weights.keys() == again.keys()
    assert all(torch.equal(again[name], value) for name, value in weights.items())


def test_settings_that_the_model_names_go_with_it(command, saved, tmp_path):
    content = torch.load(saved, weights_only=True)
    content["auralflow_pl"]["config"]["separation"] |= {"speeds": [1.0, 1.1], "mid_side": True}
    (tmp_path / "checkpoints").mkdir()
    torch.save(content, tmp_path / "checkpoints" / "best.ckpt")
    audio = torch.randn(2, 9000) * 0.3
    expected = load_separator(saved, speeds=[1.0, 1.1], mid_side=True)(audio)
    path = exported(command, tmp_path / "checkpoints" / "best.ckpt", "", "safetensors")
    assert torch.equal(load_separator(path)(audio), expected)
    plain = load_separator(path, speeds=[1], mid_side=False)(audio)
    assert torch.equal(plain, load_separator(saved)(audio))


def test_onnx_comes_back_within_rounding(command, saved):
    path = exported(command, saved, ".onnx", "onnx")
    before, after = load_separator(saved, simplify=False), load_separator(path)
    assert after.network.frame_multiple == before.network.frame_multiple
    assert after.windows == before.windows
    assert (after.targets, after.sample_rate) == (before.targets, before.sample_rate)
    for length in (1, 30000):
        audio = torch.randn(2, length) * 0.3
        assert (after(audio) - before(audio)).abs().max() < 1e-4


def test_torchscript_gives_the_masks_of_the_network(command, saved):
    path = exported(command, saved, ".pt", "torchscript")
    files = {"config.json": "", "README.md": ""}
    with QuietExport():  # torch deprecates the format
        traced = torch.jit.load(path, _extra_files=files)
    assert json.loads(files["config.json"])["config"]["stft"]["n_fft"] == 512
    network = load_separator(saved, simplify=False).network
    for shape in ((1, 2, 257, 1), (3, 2, 257, 131)):
        magnitude = torch.rand(shape)
        with torch.no_grad():
            assert (traced(magnitude) - network(magnitude).mask).abs().max() < 1e-4


def test_engines_agree(saved, monkeypatch, tmp_path):
    monkeypatch.setenv("AURALFLOW_CACHE", str(tmp_path))
    audio = torch.randn(2, 30000) * 0.3
    reference = load_separator(saved)(audio)
    for engine in ("onnx", "auto", "onnx"):
        separator = load_separator(saved, engine=engine)
        assert isinstance(separator.network, OnnxNetwork)
        assert (separator(audio) - reference).abs().max() < 1e-4
    assert len(list(graph_folder().glob("*.onnx"))) == len(list(graph_folder().iterdir())) / 2 == 1


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.normalize_input=false"],
        ["model.normalize_output=false", "model.hidden_leak=0.2"],
        ["model.bandwidth=0.4"],
        ["model=lstm", "model.bottleneck.input_axis=0", "model.bottleneck.hidden_size=24"],
        *([f"model.mask_activation={name}"] for name in ("relu", "tanh", "softmax", "prelu")),
        *([f"model.mask_activation={name}"] for name in ("hardtanh", "selu", "elu")),
    ],
)
def test_every_option_can_be_exported(overrides):
    torch.manual_seed(0)
    config = composed("train", *SMALL, "model.levels=3", *overrides)
    network = make_network(to_plain(config.model), 2).eval()
    content, difference = export_onnx(network, 1, 257, {})
    assert difference < 1e-4
    graph = OnnxNetwork(content, 2, 1, 257)
    magnitude = torch.rand(3, 1, 257, 61) * 5
    with torch.no_grad():
        expected = network(magnitude).mask
    assert (graph(magnitude).mask - expected).abs().max() < 1e-4
    assert torch.equal(graph(magnitude.transpose(2, 3).contiguous().mT).mask, graph(magnitude).mask)
    assert export_torchscript(network, 1, 257, {})[1] < 1e-4


class Stubborn(MaskEstimator):
    """Depends on the number of frames in a way that no trace sees."""

    def forward(self, magnitude):
        frames = int(magnitude.shape[-1])
        mask = torch.sigmoid(magnitude) * (0.5 if frames > 40 else 1.0)
        return MaskEstimate(mask.unsqueeze(1))


@pytest.mark.parametrize("make", [export_onnx, export_torchscript])
def test_a_graph_with_other_masks_is_refused(make):
    network = Stubborn().eval()
    network.frame_multiple = 32
    with pytest.raises(InputError, match="differ by"):
        make(network, 1, 9, {})


def test_gradients_end_at_a_graph_and_frames_are_checked(saved):
    network = load_separator(saved, engine="onnx").network
    mask, penalties = network(torch.rand(1, 2, 257, 3, requires_grad=True))
    assert not mask.requires_grad
    assert not penalties
    with pytest.raises(InputError, match="does not run the graph"):
        network(torch.rand(1, 2, 100, 3))


def test_files_are_labelled(command, saved):
    model = onnx.load(exported(command, saved, ".onnx", "onnx"))
    onnx.checker.check_model(model)
    (mask,) = model.graph.output
    shape = [d.dim_param or d.dim_value for d in mask.type.tensor_type.shape.dim]
    assert shape == ["batch", 2, 2, 257, "frames"]
    labels = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(labels["auralflow_pl"])["config"]["target"] == ["vocals", "drums"]
    assert "# vocals + drums" in labels["card"]


def test_the_card_says_what_the_run_says(command, ckpt, tmp_path):
    few = ["metrics=[si_sdr]", "references=[mixture]", "report=false"]
    command("evaluate", f"ckpt={ckpt}", "engine=torch", *few)
    done = command("export", f"ckpt={ckpt}", f"output={tmp_path / 'out'}", "licence=CC0-1.0")
    digest = hashlib.sha256((tmp_path / "out" / "model.safetensors").read_bytes()).hexdigest()
    card = (tmp_path / "out" / "README.md").read_text()
    for text in (
        "# vocals",
        "data set: synthetic, stems vocals, drums, bass, other",
        "3 optimizer steps",
        "about 0.000833 hours of audio",  # 3 steps of 2 chunks of 0.5 s
        "| si_sdr | vocals | synthetic-test | mean over tracks | ",
        "Le Roux et al., 2019",
        "CC0-1.0",
        digest,
    ):
        assert text in card
    assert digest in done.out
    mode = (tmp_path / "out" / "model.safetensors").stat().st_mode & 0o777
    assert mode == (tmp_path / "out" / "config.json").stat().st_mode & 0o777


def test_folders_of_this_machine_stay_here(ckpt, tmp_path):
    assert without_folders({"a": ["/home/me/x.wav", "C:\\me\\y", 3, None]}) == {
        "a": ["x.wav", "y", 3, None]
    }
    text = json.dumps(load_model(ckpt, [], None).description)
    assert str(tmp_path.parent.parent) not in text
    assert "/" not in text


def test_scores_are_those_of_the_model_itself(command, ckpt, songs, tmp_path):
    """Also where names have dots, and of other metrics than the usual ones."""
    for name in ("my.v1", "my.v2"):
        assert command("export", f"ckpt={ckpt}", f"output={tmp_path / name}").code == 0
    data = ("data=stem_folder", f"data.root={songs}", "metrics=[snr]", "references=[]")
    data += ("report=false",)
    done = command("evaluate", f"ckpt={tmp_path / 'my.v1'}", *data)
    assert done.code == 0, done.err
    cards = []
    for name in ("my.v1", "my.v2"):
        output = tmp_path / f"{name}.zip"
        assert command("export", f"ckpt={tmp_path / name}", f"output={output}").code == 0
        with zipfile.ZipFile(output) as archive:
            cards.append(archive.read("README.md").decode())
    assert "| snr | vocals | synthetic-test | mean over tracks |" in cards[0]
    assert "- `snr`: target against" in cards[0]
    assert "snr" not in cards[1]
    assert "Nothing was found" in cards[1]
    for table in tmp_path.glob("eval/my.v1/*/eval.json"):
        table.write_text("{}")
    done = command("export", f"ckpt={tmp_path / 'my.v1'}", f"output={tmp_path / 'again'}")
    assert "eval.json: not written by `evaluate`" in done.error


def test_a_pretrained_model_keeps_licence_card_and_weights(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = command("export", "ckpt=pretrained:mixing-vocals", "output=copy")
    assert "6.3 MB of weights, bit-identical" in done.out
    card = (tmp_path / "copy" / "README.md").read_text()
    assert "## Licence\n\nMIT" in card
    assert "> 1. 33 rendered songs" in card
    weights = [folder / "model.safetensors" for folder in (SMALL_MODEL, tmp_path / "copy")]
    one, two = map(load_file, weights)
    assert one.keys() == two.keys()
    assert all(one[name].dtype == two[name].dtype for name in one)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_an_export_can_be_exported_again(command, ckpt, tmp_path):
    for source, name in ((ckpt, "a"), (tmp_path / "a", "b.zip"), (tmp_path / "b.zip", "c")):
        assert command("export", f"ckpt={source}", f"output={tmp_path / name}").code == 0
    first, last = ((tmp_path / name / "config.json").read_text() for name in "ac")
    assert first == last
    assert "export" in command("export", f"ckpt={tmp_path / 'a'}", "format=onnx").out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["format=onxx"], "did you mean 'onnx'"),
        (["output=x.zip", "format=onnx"], "expected a .onnx file"),
        (["output=x.pt"], "expected a folder or a .zip file"),
        (["output={here}"], "holds other files"),
        (["output={here}/file"], "is a file already"),
        (["output={here}/file/x"], "is a file, expected a folder"),
        (["output={here}/folder.onnx", "format=onnx"], "is a folder already"),
        (["ckpt={here}/file"], "damaged"),
    ],
)
def test_mistakes_write_nothing(command, ckpt, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.onnx").mkdir()
    arguments = [argument.format(here=tmp_path) for argument in arguments]
    given = [] if arguments[0].startswith("ckpt") else [f"ckpt={ckpt}"]
    assert message in command("export", *given, *arguments).error
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.onnx"]


def test_separate_and_evaluate_take_every_form(command, ckpt, songs, tmp_path):
    source = next((songs / "test").rglob("mixture.wav"))
    forms = {"a": "safetensors", "a.zip": "safetensors", "a.onnx": "onnx"}
    for name, form in forms.items():
        command("export", f"ckpt={ckpt}", f"output={tmp_path / name}", f"format={form}")
    stems = []
    for model in (ckpt, *(tmp_path / name for name in forms)):
        out = tmp_path / "stems" / model.name
        done = command("separate", f"ckpt={model}", f"input={source}", f"output={out}")
        assert done.code == 0, done.err
        stems.append(torch.from_numpy(soundfile.read(out / "mixture" / "vocals.wav")[0]))
        few = ["metrics=[snr]", "references=[]", "report=false"]
        done = command("evaluate", f"ckpt={model}", "data=stem_folder", f"data.root={songs}", *few)
        assert "2 tracks" in done.out, done.err
    assert all((stem - stems[0]).abs().max() < 1e-4 for stem in stems)
    assert stems[0].abs().max() > 0.01


def test_engines_are_chosen(tmp_path, monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert choose_engine("auto", cpu) == "auto"
    assert choose_engine("auto", gpu) == "torch"
    assert choose_engine("auto", gpu, "a.onnx") == "torch"
    assert choose_engine("onnx", cpu) == "onnx"
    for engine, device, ckpt, message in (
        ("onxx", cpu, "", "did you mean 'onnx'"),
        ("onnx", gpu, "", "pass device=cpu as well"),
        ("torch", cpu, "a.onnx", "runs in ONNX Runtime only"),
    ):
        with pytest.raises(InputError, match=message):
            choose_engine(engine, device, ckpt)


def test_without_onnx_runtime(ckpt, tmp_path):
    """In a process in which the two packages cannot be found, everything else works."""
    code = f"""
import importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name in ("onnx", "onnxruntime") else find(name)
from auralflow_pl.separator.load import load_separator
from auralflow_pl.separator.engines.engine import choose_engine
from auralflow_pl.errors import InputError
import torch
assert type(load_separator({str(ckpt)!r}, engine="auto").network).__name__ == "UNet"
for work in (
    lambda: choose_engine("onnx", torch.device("cpu")),
    lambda: load_separator({str(ckpt)!r}, engine="onnx"),
):
    try:
        work()
    except InputError as error:
        print(error)
assert "onnxruntime" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(install_line("onnx")) == 2


def test_the_cache_is_bounded_and_mends_itself(ckpt, tmp_path, monkeypatch):
    monkeypatch.setenv("AURALFLOW_CACHE", str(tmp_path))
    load_separator(ckpt, engine="onnx")
    (graph,) = graph_folder().glob("*.onnx")
    for file in (graph, weights_file(graph)):
        whole = file.read_bytes()
        for spoilt in (b"", b"spoilt", whole[:-100], None):
            file.unlink()
            if spoilt is not None:
                file.write_bytes(spoilt)
            assert isinstance(load_separator(ckpt, engine="onnx").network, OnnxNetwork)
            assert file.read_bytes() == whole
    for number in range(MAX_GRAPHS + 3):
        for path in (graph_folder() / f"{number}.onnx", graph_folder() / f"{number}.weights"):
            path.write_bytes(b"older")
    for name, age in (("left", 2 * STALE_SECONDS), ("beginning", 0)):
        path = graph_folder() / f"{name}.weights"
        path.write_bytes(b"no graph")
        os.utime(path, times=(time.time() - age,) * 2)
    graph.unlink()
    load_separator(ckpt, engine="onnx")
    assert len(list(graph_folder().glob("*.onnx"))) == MAX_GRAPHS
    assert len(list(graph_folder().glob("*.weights"))) == MAX_GRAPHS + 1
    assert (graph_folder() / "beginning.weights").is_file()
    assert graph.is_file()


def test_lstms_of_any_kind_are_exported():
    """Also those that the exporter of torch has to write: a state, one signal, no biases."""

    class Recurrent(MaskEstimator):
        def __init__(self, *sizes, given=False, **options):
            super().__init__()
            self.lstm, self.given = torch.nn.LSTM(*sizes, **options), given

        def forward(self, magnitude):
            x = magnitude[:, 0].transpose(1, 2)
            state = None
            if self.given:
                state = (x.new_full((1, x.shape[0], 6), 0.3), x.new_full((1, x.shape[0], 6), -0.7))
            out, (hidden, cell) = self.lstm(x, state)
            mask = out[..., :9] + hidden.sum(0)[:, None, :1] + cell.sum(0)[:, None, :1]
            mask = torch.nn.functional.pad(mask, (0, 9 - mask.shape[-1]))
            return MaskEstimate(mask.sigmoid().transpose(1, 2)[:, None, None])

    for network in (
        Recurrent(9, 5, 3, batch_first=True, bidirectional=True),
        Recurrent(9, 6, 2, batch_first=True),
        Recurrent(9, 6, 1, batch_first=True, bias=False),
        Recurrent(9, 6, 1, batch_first=True, given=True),
    ):
        content, difference = export_onnx(network.eval(), 1, 9, {})
        assert difference < 1e-5
        onnx.checker.check_model(onnx.load_from_string(content))


def test_a_cache_that_cannot_be_written_does_not_matter(ckpt, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AURALFLOW_CACHE", str(tmp_path / "file"))
    assert isinstance(load_separator(ckpt, engine="onnx").network, OnnxNetwork)


def test_trainings_do_not_go_on_from_exported_models(command, ckpt, songs, tmp_path):
    command("export", f"ckpt={ckpt}", f"output={tmp_path / 'a'}")
    run_dir = tmp_path / "run"
    done = command(
        "train",
        *TINY,
        f"data.root={songs}",
        f"paths.run_dir={run_dir}",
        f"resume={tmp_path / 'a'}",
    )
    assert "holds no state of a training" in done.error
    assert not run_dir.exists()


def test_description_needs_no_data_folder(ckpt):
    separator = load_separator(ckpt, simplify=False)
    config = to_plain(composed("train", *TINY, "hydra.run.dir=."))
    config["data"] |= {"root": "/data/a", "roots": ["/data/b", "/data/c"]}
    found = describe_model(config, 1, False, separator.network)
    assert found["config"]["data"]["name"] == "b+c"
    assert "separation" not in found["config"]
    config["separation"] |= {"speeds": [1, 1.1], "mid_side": False}
    found = describe_model(config, 1, False, separator.network)
    assert found["config"]["separation"] == {"speeds": [1, 1.1], "mid_side": False}
