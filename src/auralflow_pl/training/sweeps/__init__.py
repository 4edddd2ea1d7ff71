"""Sweeps: jobs, their results, and `sweep=optuna`.

May import what `training` may; optuna is imported when a study runs.
Start with `results`, the files that the jobs of a sweep leave; `launching` runs jobs of which some
may die; `sweeper` runs every combination, or asks Optuna for values and tells it their scores;
`search_space` reads Hydra's overrides as distributions. `evaluating` evaluates the jobs of several
seeds, and `seeds` summarizes them.
"""
