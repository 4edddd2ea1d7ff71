"""The command line: arguments, help, completion, mistakes in one line. No torch.

May import `config`, `pretrained` and `system`; a command's module is imported when it runs.
Start with `main.run`, then `table` for the commands.
"""
