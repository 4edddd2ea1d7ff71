"""Readers of weights that other projects published, each to a `Checkpoint`; no code of a file runs.

May import what `checkpoints` may. Start with `open_unmix`. Of Spleeter's weights, a reader of the
file format (`pickled_arrays`, `tensorflow_bundle`) gives arrays by their foreign names, and a table
of names (`spleeter`) makes a `Checkpoint` of them.
"""
