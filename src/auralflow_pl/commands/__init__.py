"""One file for each command: a configuration in, calls, a printed result.

May import everything below; no command imports another one.
Start with `train` or `separate`. Code that two commands need lives in the folder it is about.
"""
