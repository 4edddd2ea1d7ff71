"""Hydra takes sweepers from this namespace only, so that of auralflow_pl has its name here."""

from auralflow_pl.training.sweeps.sweeper import StudySweeper


class OptunaSweeper(StudySweeper):
    """The sweeper of `sweep=optuna`."""
