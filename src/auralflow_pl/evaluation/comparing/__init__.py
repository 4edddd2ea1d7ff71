"""Comparison of evaluations: of single runs, and of groups of runs that differ in their seed.

Start with `comparison.compare_groups`, the verdicts; `intervals` has the bootstrap over tracks and
seeds, `seeds` the mean and spread of one group, `members` finds the evaluations that a path stands
for, and `comparability` checks that they were measured in the same way.
"""
