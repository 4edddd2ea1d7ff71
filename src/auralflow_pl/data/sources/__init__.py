"""Layouts of data sets on a disk, each a `TrackSource`: one module for each layout.

Start with `stem_folder`, one folder for each song. `multitracks` is the base of those whose stems
are sums of files. `mixed` combines several data sets.
"""
