"""auralflow_pl: a research framework for music source separation.

`load` makes a `Separator` of a trained model, `compose` the configuration of a command as the
command line would, `build_network` the network of a configuration. All three, and torch with them,
are imported when they are first used. Errors are in `auralflow_pl.errors`. The import switches off
the telemetry of other packages, see `system.telemetry`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auralflow_pl.system.lazy import attach
from auralflow_pl.system.telemetry import disable_telemetry
from auralflow_pl.version import __version__

if TYPE_CHECKING:
    from auralflow_pl.config.compose import compose
    from auralflow_pl.separator.build import build_network
    from auralflow_pl.separator.load import load_separator as load
    from auralflow_pl.separator.separator import Separator
else:
    __getattr__, __dir__ = attach(__name__)

disable_telemetry()

__all__ = ["Separator", "__version__", "build_network", "compose", "load"]
