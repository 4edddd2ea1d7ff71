"""Layouts of data sets on a disk, each a `TrackSource`: one module for each layout.

Start with `stem_folder`, one folder for each song. `mixed` combines several data sets, and
`multitracks` is the base of those whose stems are sums of files. `fitting` makes a track of its
files; `table` reads the lines of a `manifest`.
"""
