"""Callback that prints a summary of a training before its first step."""

from __future__ import annotations

import copy
import logging
import time
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from auralflow_pl.data.tracks import Track
from auralflow_pl.training.data_module import StemDataModule
from auralflow_pl.training.task import SeparationTask

log = logging.getLogger(__name__)


class Preflight(pl.Callback):
    """Prints a summary before the first step, and after some steps the time of an epoch.

    The summary has network and parameters, GFLOP of a step, memory of weights, optimizer and
    stored activations (estimated for float32, without memory used by libraries), number and hours
    of the tracks of both splits, size of the pool, and run folder.

    Args:
        after_steps: steps whose time is measured, after one warm-up step.
    """

    def __init__(self, after_steps: int = 5) -> None:
        self.after_steps = after_steps
        self.steps = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: SeparationTask) -> None:
        """Print the summary."""
        if not trainer.is_global_zero:
            return
        data = trainer.datamodule
        cost = step_cost(pl_module, data)
        parameters, trained = parameter_counts(pl_module)
        share = "" if trained == parameters else f", {100 * trained / parameters:.3g} % trained"
        rows = {
            "network": f"{type(pl_module.separator.network).__name__}, "
            f"{parameters / 1e6:.2f} M parameters{share}",
            "targets": ", ".join(pl_module.separator.targets),
            "step": f"{data.batch_size} chunks of {data.chunk_seconds:g} s, "
            f"{cost.flop / 1e9:.1f} GFLOP",
            "memory": f"about {cost.memory / 1e9:.2f} GB",
            **{split: describe_tracks(data.tracks(split)) for split in ("train", "valid")},
            "epoch": f"{data.chunks_per_epoch} chunks, {trainer.num_training_batches} steps",
            "run folder": trainer.default_root_dir,
        }
        if data.pool is not None:
            tracks = [track for split in ("train", "valid") for track in data.tracks(split)]
            size = sum(file.stat().st_size for track in tracks for file in track.files)
            rows["pool"] = f"{size / 1e9:.2f} GB in {data.pool.folder}"
        log.info("\n".join(f"{name:<12}{value}" for name, value in rows.items()))

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: SeparationTask,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Measure the time of some steps and print the expected time of an epoch."""
        if self.steps > self.after_steps:
            return
        if self.steps == 0:
            self.began = time.perf_counter()
        elif self.steps == self.after_steps:
            seconds = (time.perf_counter() - self.began) / self.after_steps
            epoch = seconds * trainer.num_training_batches
            log.info("an epoch takes about %.0f s, without validation", epoch)
        self.steps += 1


class StepCost(NamedTuple):
    """Cost of a training step."""

    flop: float  # floating-point operations; multiply-add counts as two
    memory: float  # bytes


def step_cost(task: SeparationTask, data: StemDataModule) -> StepCost:
    """Operations and memory of a training step, counted on the meta device.

    The backward pass is assumed to take twice the operations of the forward pass, and the
    optimizer to store two values per trained weight, beside the gradient.
    """
    ghost = copy.deepcopy(task.separator.network).to("meta").train()
    batch, channels = data.batch_size, data.channels
    frames = round(data.chunk_seconds * data.sample_rate)
    spectrogram = task.separator.stft(torch.zeros(channels, frames, device=task.device))
    heard = torch.zeros(
        batch, channels * getattr(ghost, "planes", 1), *spectrogram.shape[1:], device="meta"
    )
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[id(tensor)] = tensor.numel() * tensor.element_size()
        return tensor

    recurrent = [name for name, layer in ghost.named_modules() if isinstance(layer, nn.RNNBase)]
    outlines = [LayerOutline(ghost.get_submodule(name)) for name in recurrent]
    for name, outline in zip(recurrent, outlines, strict=True):
        ghost.set_submodule(name, outline)
    counter = FlopCounterMode(display=False)
    with counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        ghost(heard)
    parameters, trained = parameter_counts(task)
    return StepCost(
        3.0 * (counter.get_total_flops() + sum(outline.flop for outline in outlines)),
        4.0 * (parameters + 3 * trained)
        + sum(kept.values())
        + sum(outline.memory for outline in outlines),
    )


def parameter_counts(module: nn.Module) -> tuple[int, int]:
    """Number of values of all weights of a module, and of those that are trained."""
    weights = list(module.parameters())
    return sum(w.numel() for w in weights), sum(w.numel() for w in weights if w.requires_grad)


class LayerOutline(nn.Module):
    """Replaces a recurrent layer to count its cost without iterating over the sequence."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        matrices = (weight for weights in layer.all_weights for weight in weights)
        self.weights = sum(weight.numel() for weight in matrices if weight.dim() > 1)
        directions = 1 + layer.bidirectional
        self.features = layer.hidden_size * directions
        self.state_shape = (layer.num_layers * directions, layer.hidden_size)
        self.batch_axis, self.gated = int(not layer.batch_first), isinstance(layer, nn.LSTM)
        self.kept = self.features * layer.num_layers * (6 if self.gated else 5)
        self.flop = self.memory = 0.0

    def forward(
        self,
        sequence: Tensor,
        state: Any = None,  # noqa: ARG002 - part of the interface of recurrent layers
    ) -> tuple[Tensor, Any]:
        """Add the cost of all positions: matrix products, stored gates and states.

        Args:
            sequence: input of the layer, batched, `(..., features)`.
            state: of the layer before the first position; costs nothing.

        Returns:
            zeros in place of the output of the layer and of its state.
        """
        positions = sequence.numel() // sequence.shape[-1]
        self.flop += 2.0 * positions * self.weights
        self.memory += 4.0 * positions * self.kept
        layers, units = self.state_shape
        after = sequence.new_zeros(layers, sequence.shape[self.batch_axis], units)
        output = sequence.new_zeros(*sequence.shape[:-1], self.features)
        return output, (after, after) if self.gated else after


def describe_tracks(tracks: list[Track]) -> str:
    """Number and total hours of tracks, for the summary."""
    hours = sum(track.frames / track.sample_rate for track in tracks) / 3600
    return f"{len(tracks)} tracks, {hours:.2f} h"
