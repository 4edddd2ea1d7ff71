"""Hydra takes sweepers from this namespace only, so those of auralflow_pl have their names here."""

from auralflow_pl.training.sweeps.sweeper import GridSweeper, StudySweeper


class CombinationSweeper(GridSweeper):
    """The sweeper of `sweep=grid`."""


class OptunaSweeper(StudySweeper):
    """The sweeper of `sweep=optuna`."""
