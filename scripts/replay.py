"""Repeat the training step that gave non-finite numbers, and print where they first occur.

python scripts/replay.py runs/<run>/numerics/step-<number>.pt
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from auralflow_pl.errors import InputError
from auralflow_pl.training.build import build_task
from auralflow_pl.training.checkpoint_io import tensors_in

FORMATS = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def watch(name: str, faults: list[str]) -> Any:
    """Make a hook that records modules with finite inputs and non-finite outputs."""

    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        given = all(torch.isfinite(t).all() for t in tensors_in(inputs))
        if given and not all(torch.isfinite(t).all() for t in tensors_in(output)):
            size = max((float(t.abs().max()) for t in tensors_in(inputs) if t.numel()), default=0.0)
            faults.append(f"{name} ({type(module).__name__}): input up to {size:.3g}")

    return hook


def replay(bundle: dict[str, Any]) -> list[str]:
    """Repeat the step of a bundle; return lines of text that describe it."""
    task = build_task(OmegaConf.create(bundle["config"]))  # frozen parts are in evaluation mode
    task.load_state_dict(bundle["weights"])
    torch.set_rng_state(bundle["random_state"])
    faults: list[str] = []
    for name, module in task.named_modules():
        module.register_forward_hook(watch(name, faults))
    batch = bundle["batch"]
    number_format = FORMATS.get(bundle["config"]["precision"]["precision"])
    with torch.autocast("cpu", number_format) if number_format else contextlib.nullcontext():
        parts = task.loss_parts(batch)
    lines = [f"chunks {bundle['chunks']}, place (seed, epoch, step, device) {bundle['place']}"]
    for number, mixture in zip(bundle["chunks"], batch["mixture"], strict=True):
        lines.append(f"chunk {number}: mixture up to {peak(mixture)}")
    lines += [f"weights up to {max(peak(p) for p in task.parameters()):.3g}"]
    lines += [f"train/{name}: {part.item():.6g}" for name, part in parts.items()]
    lines += [f"not finite first in {fault}" for fault in faults[:3]]
    parts["loss"].backward()
    bad = [n for n, p in task.named_parameters() if p.grad is not None and not finite(p.grad)]
    lines.append(f"gradients that are not finite: {len(bad)}{': ' if bad else ''}{bad[-1:]}")
    return lines


def peak(values: Tensor) -> float:
    """Largest magnitude; NaN if there is a NaN."""
    return float(values.detach().abs().max())


def finite(values: Tensor) -> bool:
    """Whether all values are finite."""
    return bool(torch.isfinite(values).all())


def main() -> None:
    """Replay the bundle that is named on the command line."""
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_file():
        sys.exit("error: expected one argument, a bundle runs/<run>/numerics/step-<number>.pt")
    try:
        bundle = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
        print("\n".join(replay(bundle)))
    except (InputError, KeyError, RuntimeError) as error:
        sys.exit(f"error: {sys.argv[1]}: not a bundle that can be replayed here: {error}")


if __name__ == "__main__":
    main()
