"""The machine: devices, memory, processes, files, folders, signals, imports on demand.

May import `errors` only. Start with `files.write_whole` and `device.choose_device`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auralflow_pl.system.lazy import attach

if TYPE_CHECKING:
    from auralflow_pl.system.device import choose_device
    from auralflow_pl.system.files import read_json, write_json, write_whole
    from auralflow_pl.system.processes import process_group, worker_pool
else:
    __getattr__, __dir__ = attach(__name__)

__all__ = [
    "choose_device",
    "process_group",
    "read_json",
    "worker_pool",
    "write_json",
    "write_whole",
]
