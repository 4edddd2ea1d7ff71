"""The table of commands and the texts of their help."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """A command of the command line."""

    text: str  # purpose, for the help
    word: str = ""  # key that a word without `=` sets; empty: none
    folder: str = ""  # of its module, below `commands`
    many: bool = False  # whether any number of such words are paths, which the key lists


MODEL_FILES = "model_files"

COMMANDS = {
    "train": Command("train a network"),
    "evaluate": Command("measure a checkpoint on a data set"),
    "compare": Command(
        "tell whether one evaluation is better than another", word="runs", many=True
    ),
    "report": Command("make one page of all runs of a folder", word="folder"),
    "listen": Command("make a page to listen to models side by side", word="models", many=True),
    "separate": Command("separate files or folders with a checkpoint"),
    "live": Command("separate sound while it arrives, from a pipe or a sound device"),
    "export": Command("write a model as safetensors, ONNX or TorchScript", folder=MODEL_FILES),
    "download": Command("fetch a pretrained model", word="name", folder=MODEL_FILES),
    "models": Command("show pretrained models, or remove one", word="name", folder=MODEL_FILES),
    "combine": Command("average several models as one", folder=MODEL_FILES),
    "publish": Command(
        "make the archive and the registry entry of a model", word="ckpt", folder=MODEL_FILES
    ),
    "import-model": Command(
        "keep the weights of another project as a model of this one",
        word="source",
        folder=MODEL_FILES,
    ),
    "doctor": Command("find errors in a data set"),
    "demo": Command("serve a web page on this machine to try models"),
    "serve": Command("serve separation over HTTP, for programs"),
    "selfcheck": Command("verify that a training can be killed and resumed", word="check"),
}

MEANT = {  # commands of other tools, and what they are called here
    "fit": "train",
    "eval": "evaluate",
    "test": "evaluate",
    "validate": "evaluate",
    "infer": "separate",
    "predict": "separate",
}

TOOL_TEXTS = {
    "config": "show or save a configuration, and what every option means",
    "completion": "print what bash, zsh or fish needs to complete commands and keys",
}

TEXT_KEYS = {  # keys whose values are texts, by command
    "export": ("licence",),
    "combine": ("licence",),
    "publish": ("licence", "description", "trained_on"),
    "import-model": ("licence", "description"),
}

MAIN_USAGE = """usage: auralflow <command> [key=value ...] [--help] [--cfg job] | --version

commands:
{commands}

`auralflow <command> --help` shows the keys and groups of a command.
"""

TOOL_USAGE = {
    "config": """usage: auralflow config [command] [part] [key=value ...] [--save FILE]
       auralflow config [command] FILE [part]

  auralflow config model=vae    what train is composed of, and every option
  auralflow config separate     the same of another command
  auralflow config loss         only the options of a part
  auralflow config model=vae --save my/small.yaml
                                write it to a new file, for
                                train --config-dir my --config-name small
  auralflow config my/small.yaml
  auralflow config runs/x       what a saved file, or a run folder, holds
""",
    "completion": """usage: auralflow completion <bash|zsh|fish>

  eval "$(auralflow completion bash)"          in ~/.bashrc
  source <(auralflow completion zsh)           in ~/.zshrc, after compinit
  auralflow completion fish | source           in ~/.config/fish/config.fish
""",
}
