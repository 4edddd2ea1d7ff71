"""Read weights that other projects published, as they published them; no code in them runs.

A reader of files (`pickled_arrays`, `tensorflow_bundle`) gives arrays by their foreign names; a
table of names (`spleeter`) makes a `Checkpoint` of them, which is used like any other.
"""
