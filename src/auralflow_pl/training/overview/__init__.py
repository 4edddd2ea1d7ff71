"""One page of all runs of a folder: what run folders hold, and the page.

May import the rest of `training`, and all below it.
Start with `runs.find_runs`.
"""
