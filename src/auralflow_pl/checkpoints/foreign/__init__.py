"""Readers of weights that other projects published, each to a `Checkpoint`; no code of a file runs.

May import what `checkpoints` may. Start with `open_unmix`.
"""
