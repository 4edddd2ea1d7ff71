"""Export networks to ONNX, and run them with ONNX Runtime on the CPU."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from auralflow_pl.checkpoints.onnx_file import INPUT_NAME, OUTPUT_NAME
from auralflow_pl.errors import InputError, one_line
from auralflow_pl.models.base import MaskEstimate, MaskEstimator
from auralflow_pl.separator.engines.graph_file import Graph
from auralflow_pl.separator.engines.onnx_layers import replace_layers
from auralflow_pl.separator.engines.onnx_trace import traced_graph
from auralflow_pl.system.extras import require_extra

if TYPE_CHECKING:
    from onnx import ModelProto

MASK_TOLERANCE = 1e-4  # largest allowed difference between masks of ONNX and torch


class Probe(NamedTuple):
    """A random magnitude, and the mask that a network gives for it."""

    magnitude: Tensor  # (batch, channels, freq, frames)
    mask: Tensor  # (batch, targets, channels, freq, frames)


class MaskOnly(nn.Module):
    """A simplified copy of a network with the mask as its only output, for export.

    The copy shares the weights that `simplify` does not replace.

    Args:
        network: network to copy; it is not changed.
    """

    def __init__(self, network: MaskEstimator) -> None:
        super().__init__()
        shared: dict[int, Any] = {
            id(p): nn.Parameter(p.detach(), False) for p in network.parameters()
        }
        self.network = copy.deepcopy(network, shared)
        self.network.simplify()
        self.eval()

    def forward(self, magnitude: Tensor) -> Tensor:
        """Masks `(batch, targets, channels, freq, frames)` of `(batch, channels, freq, frames)`."""
        return self.network(magnitude).mask


def export_onnx(
    network: MaskEstimator, channels: int, freq: int, metadata: Mapping[str, str]
) -> tuple[bytes, float]:
    """Export a network as an ONNX graph for any batch size and number of frames.

    Args:
        network: network in evaluation mode; it is not changed.
        channels: channels of the magnitude.
        freq: frequency bins of the magnitude.
        metadata: texts to store in the file, by name.

    Returns:
        content of the file, and the largest difference of its masks from those of torch.

    Raises:
        InputError: the network cannot be exported, or its graph computes other masks.
    """
    content = network_graph(MaskOnly(network), channels, freq, metadata).content()
    session = make_session(content)
    probes = list(random_probes(network, channels, freq))
    return content, largest_difference(lambda x: run_session(session, x), probes)


def network_graph(
    exported: MaskOnly, channels: int, freq: int, metadata: Mapping[str, str]
) -> Graph:
    """ONNX graph of a network, not yet checked.

    Weights that need no change are those of the network, not copies.

    Args:
        exported: the network; it loses its weights, so it computes no masks afterwards.
        channels: see `export_onnx`.
        freq: see `export_onnx`.
        metadata: see `export_onnx`.

    Raises:
        InputError: the network cannot be exported.
    """
    require_extra("onnx", "ONNX")
    example = torch.rand(2, channels, freq, exported.network.frame_multiple // 2 + 2)
    try:
        replace_layers(exported)
        graph = traced_graph(exported, example)
        with torch.no_grad():
            _, targets, outputs, *_ = exported(example[..., :1]).shape
        add_metadata(graph.model, metadata, ["batch", targets, outputs, freq, "frames"])
        return graph
    except Exception as error:  # the exporter, torch and protobuf raise many types
        cause = one_line(error)
        raise InputError(f"this network cannot be exported to ONNX: {cause}") from error


def add_metadata(
    model: ModelProto, metadata: Mapping[str, str], shape: Sequence[int | str]
) -> None:
    """Write metadata and the shape of the output into an ONNX model."""
    import onnx

    onnx.helper.set_model_props(model, dict(metadata))
    typed = onnx.helper.make_tensor_value_info(OUTPUT_NAME, onnx.TensorProto.FLOAT, shape)
    model.graph.output[0].CopyFrom(typed)


def random_probes(network: MaskEstimator, channels: int, freq: int) -> Iterator[Probe]:
    """Yield random magnitudes of several shapes and levels, with the masks of a network.

    Args:
        network: network in evaluation mode.
        channels: channels of the magnitude.
        freq: frequency bins of the magnitude.
    """
    multiple, generator = network.frame_multiple, torch.Generator().manual_seed(0)
    for batch, frames, level in ((1, 1, 1.0), (2, multiple, 30.0), (1, multiple + 29, 0.1)):
        magnitude = level * torch.rand(batch, channels, freq, frames, generator=generator)
        with torch.no_grad():
            yield Probe(magnitude, network(magnitude).mask)


def largest_difference(exported: Callable[[Tensor], Tensor], probes: Sequence[Probe]) -> float:
    """Largest absolute difference of exported masks from those of a network.

    Args:
        exported: maps magnitudes to masks.
        probes: magnitudes and masks of the network.

    Raises:
        InputError: the difference exceeds `MASK_TOLERANCE`, or the masks have another shape.
    """
    largest = 0.0
    for magnitude, expected in probes:
        with torch.no_grad():
            found = exported(magnitude)
        if found.shape != expected.shape:
            raise InputError(
                f"the exported network gives masks {tuple(found.shape)} instead of "
                f"{tuple(expected.shape)}: its shapes do not follow the input; use engine=torch"
            )
        largest = max(largest, float((found - expected).abs().max()))
    if not largest <= MASK_TOLERANCE:
        raise InputError(
            f"masks of the exported network differ by {largest:.1e} from those of torch, expected "
            f"at most {MASK_TOLERANCE:.0e}; use engine=torch"
        )
    return largest


def make_session(content: bytes | Path) -> Any:
    """Create an inference session on the CPU with as many threads as torch uses.

    Args:
        content: content or path of an ONNX file.

    Raises:
        InputError: ONNX Runtime is not installed or refuses the graph.
    """
    require_extra("onnx", "ONNX")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # only fatal messages; errors are raised as exceptions
    options.enable_mem_pattern = False  # takes 100 MB and saves no time for windows
    try:
        source = content if isinstance(content, bytes) else str(content)
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has no common exception class
        cause = one_line(error)
        raise InputError(f"ONNX Runtime does not load the graph: {cause}") from error


def run_session(session: Any, magnitude: Tensor) -> Tensor:
    """Masks computed by a session; a contiguous magnitude is not copied.

    Raises:
        InputError: ONNX Runtime fails to run the graph.
    """
    try:
        (mask,) = session.run([OUTPUT_NAME], {INPUT_NAME: magnitude.contiguous().numpy()})
    except Exception as error:
        cause = one_line(error)
        raise InputError(f"ONNX Runtime does not run the graph: {cause}") from error
    return torch.from_numpy(mask)


class OnnxNetwork(MaskEstimator):
    """A mask estimator that runs an ONNX graph; it cannot be trained.

    Args:
        content: content or path of the ONNX file.
        targets: number of targets.
        channels: channels of the sound.
        freq: frequency bins of the magnitude.
        frame_multiple: see `MaskEstimator`.
        frame_reach: see `MaskEstimator`.
        bounded: see `MaskEstimator`.
        complex_masks: see `MaskEstimator`.

    Raises:
        InputError: the graph cannot be run, or its values are not masks.
    """

    untrainable = (
        "an ONNX graph has no weights; load a checkpoint or an exported folder with "
        "engine='torch', simplify=False"
    )

    def __init__(
        self,
        content: bytes | Path,
        targets: int,
        channels: int,
        freq: int,
        frame_multiple: int = 1,
        frame_reach: int | None = None,
        bounded: bool = True,
        complex_masks: bool = False,
    ) -> None:
        super().__init__()
        self.targets, self.bounded, self.complex_masks = targets, bounded, complex_masks
        self.frame_multiple, self.frame_reach = frame_multiple, frame_reach
        self.session = make_session(content)
        mask = self(torch.zeros(1, self.planes * channels, freq, 1)).mask
        largest = 1 + MASK_TOLERANCE if bounded else torch.finfo(mask.dtype).max
        mask = mask.abs() if complex_masks else mask
        if not (mask.min() >= -MASK_TOLERANCE and mask.max() <= largest):
            expected = "0 to 1" if bounded else "at least 0"
            raise InputError(f"the graph gives values that are no masks: expected {expected}")

    def forward(self, magnitude: Tensor) -> MaskEstimate:
        """Masks of a magnitude `(batch, channels, freq, frames)` on any device; no penalties."""
        batch, inputs, *rest = magnitude.shape
        expected = (batch, self.planes * self.targets, inputs // self.planes, *rest)
        mask = run_session(self.session, magnitude.detach().cpu().float())
        if mask.shape != expected:
            raise InputError(
                f"the graph gives masks {tuple(mask.shape)} for magnitudes "
                f"{tuple(magnitude.shape)}, expected {expected}"
            )
        return MaskEstimate(mask.to(magnitude.device))

    def metadata(self) -> dict[str, str]:
        """Texts stored in the ONNX file, by name."""
        return self.session.get_modelmeta().custom_metadata_map
