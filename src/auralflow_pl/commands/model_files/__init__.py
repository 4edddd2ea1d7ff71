"""Commands on files of models: write, publish, fetch, convert and list them.

May import what other commands may; no command imports another one.
Start with `export`.
"""
