"""auralflow_pl: a research framework for music source separation."""

__version__ = "0.1.0"
