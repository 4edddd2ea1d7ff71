"""The public functions and names, as a notebook or a program of others uses them."""

import importlib
import inspect
import pkgutil

import hydra
import pytest
import torch
from hydra import version
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

import auralflow_pl
from auralflow_pl.commands.train import train
from auralflow_pl.config.locations import config_dir
from auralflow_pl.errors import InputError
from auralflow_pl.system.lazy import deferred_imports
from auralflow_pl.training import SeparationTask
from support import REPOSITORY, TINY, fitting, option_names, python

PACKAGES = [
    module.name
    for module in pkgutil.walk_packages(auralflow_pl.__path__, "auralflow_pl.")
    if module.ispkg
]


@pytest.mark.parametrize("name", ["auralflow_pl", *PACKAGES])
def test_names_of_a_package_are_found_and_no_module_hides_one(name):
    package = importlib.import_module(name)
    assert len((package.__doc__ or "").splitlines()) in range(3, 10)
    names = getattr(package, "__all__", [])
    if names:
        deferred = dict(deferred_imports(inspect.getsource(package)))
        assert sorted(deferred) == sorted(set(names) - {"__version__"})
        assert set(names) <= set(dir(package))
        assert not set(names) & {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert all(getattr(package, one) is not None for one in names)
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_importing_the_package_imports_nothing_else():
    code = f"""
import sys, auralflow_pl
for name in {PACKAGES}:
    __import__(name)
print([name for name in ("torch", "hydra", "numpy", "pytorch_lightning") if name in sys.modules])
"""
    assert python("-c", code).out == "[]\n"


def test_the_package_says_that_it_has_types():
    assert (REPOSITORY / "src" / "auralflow_pl" / "py.typed").is_file()


def test_a_configuration_is_validated_and_resolved():
    config = auralflow_pl.compose("train", ["target=[vocals,drums]", "model.width=4"])
    plain = OmegaConf.to_container(config, resolve=False)
    assert "${" not in str(plain)
    assert (config.model.width, config.model.n_fft) == (4, config.stft.n_fft)
    assert auralflow_pl.compose("separate", ["input=a.wav"]).output == "separated"


@pytest.mark.parametrize(
    "command, overrides, message",
    [
        ("trian", [], "trian: no such command, did you mean 'train'?"),
        ("train", ["model.widht=3"], "model.widht: no such key, did you mean 'model.width'?"),
        ("train", ["model=simpel"], "model=simpel: no such option, did you mean 'simple'?"),
        ("train", ["model=vae", "model.bottleneck.depth=3"], "model.bottleneck.depth: no such key"),
        ("train", ["seed=-1"], "seed=-1: expected at least 0"),
        ("train", ["target=("], "quote values"),
        ("train", "model=vae", "overrides=model=vae: expected a list, ['model=vae']"),
        ("separate", [], "missing required key: input; pass input=..."),
    ],
)
def test_mistakes_in_a_configuration_are_one_line(command, overrides, message):
    with pytest.raises(InputError) as caught:
        auralflow_pl.compose(command, overrides)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_of_configurations_are_a_list():
    with pytest.raises(InputError, match=r"config_dirs=mine: expected a list, \['mine'\]"):
        auralflow_pl.compose(config_dirs="mine")


@pytest.mark.parametrize("overrides", [[], ["modle=x"]])
def test_hydra_stays_as_a_notebook_initialised_it(overrides):
    with hydra.initialize_config_dir(str(config_dir() / "model"), version_base="1.2"):
        before, base = GlobalHydra.instance().hydra, version.getbase()
        try:
            auralflow_pl.compose("train", overrides)
        except InputError:
            assert overrides
        assert GlobalHydra.instance().hydra is before
        assert version.getbase() == base
        assert hydra.compose("simple").width == 16
    auralflow_pl.compose("train")
    assert not GlobalHydra.instance().is_initialized()


def test_a_composed_configuration_can_be_trained(songs, tmp_path):
    keys = [*TINY, f"data.root={songs}", f"paths.run_dir={tmp_path / 'run'}"]
    assert isinstance(train(auralflow_pl.compose("train", keys)), float)
    ckpt = tmp_path / "run" / "checkpoints" / "best.ckpt"
    separator = auralflow_pl.load(ckpt)
    assert isinstance(separator, auralflow_pl.Separator)
    assert separator(torch.zeros(2, 5000)).shape == (1, 2, 5000)
    with pytest.raises(InputError, match=r"use auralflow_pl\.load\('.*best\.ckpt'\)"):
        SeparationTask.load_from_checkpoint(ckpt)


@pytest.mark.parametrize("name", option_names("model"))
def test_networks_are_built_by_us_and_by_hydra(name):
    keys = [f"model={name}", "model.width=2", "model.levels=3", "target=[vocals,drums]"]
    config = auralflow_pl.compose("train", fitting(*keys))
    network = auralflow_pl.build_network(config)
    plain = auralflow_pl.build_network(OmegaConf.to_container(config))
    by_hydra = hydra.utils.instantiate(config.model, targets=2)
    shapes = [{k: v.shape for k, v in n.state_dict().items()} for n in (network, plain, by_hydra)]
    assert shapes[0] == shapes[1] == shapes[2]
    magnitude = torch.rand(1, config.audio.channels, config.stft.n_fft // 2 + 1, 9)
    assert network.eval()(magnitude).mask.shape == (1, 2, *magnitude.shape[1:])


def test_a_network_needs_a_whole_configuration():
    config = auralflow_pl.compose()
    with pytest.raises(InputError, match="its part `model`: expected a whole configuration"):
        auralflow_pl.build_network(config.model)
    with pytest.raises(InputError, match="target: not in the configuration"):
        auralflow_pl.build_network({"model": {}})
    with pytest.raises(InputError, match="str: expected a whole configuration"):
        auralflow_pl.build_network("vae")
