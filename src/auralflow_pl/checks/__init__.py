"""Check values, arguments, YAML files and class names that users or files give.

May import `errors` only; needs neither torch nor Hydra.
Start with `values.one_of` and `arguments.check_arguments`.
"""
