"""Collections of tar files (shards) on object storage or disk, read span by span.

`store` opens files with fsspec, and with `patience` tries a read again that fails or stalls. Start
with `reading`: the table of a collection, and its tracks as a `TrackSource`; `cells` and `places`
check its lines. `writing` makes shards of any data set; `pcm` has the samples of their members.
"""
