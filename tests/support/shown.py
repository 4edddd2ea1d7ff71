"""The command lines that the documentation shows, as a shell reads them."""

from __future__ import annotations

import functools
import re
import subprocess
import tempfile
from pathlib import Path

from support import REPOSITORY

OURS = re.compile(r"(^|[\s($])(auralflow \w|python (-m auralflow_pl |\S+\.py\b))")

WITH_ARGUMENTS = re.compile(r"(auralflow [\w-]+|python \S+\.py) \S")

OF_OTHER_TOOLS = ("my_model", "--root path/to/musdb18", "--dataset")  # in docs/migration.md

PATTERN = re.compile(r"<[a-z]|\bFILE\b| \.\.\.( |$)")  # not a line, but what lines look like

# Writes the arguments of our commands to file descriptor 3. No other program is found.
RECORDER = r"""
auralflow() { printf '%s\0' "$@" $'\n' >&3; }
python() {
    case $1 in
        -m) if [ "$2" = auralflow_pl ]; then auralflow "${@:3}"; fi ;;
        scripts/*) auralflow "$@" ;;
        *.py) auralflow "${1%.py}" "${@:2}" ;;
    esac
}
source() { :; }  # that of fish reads standard input
command_not_found_handle() { :; }
PATH=/nowhere OUT=out
for line; do eval "$line"; wait; printf '%s\0' $'\n\n' >&3; done
"""


def pages() -> list[Path]:
    """All pages of the documentation that are written by hand."""
    docs = (REPOSITORY / "docs").rglob("*.md")
    written = [page for page in docs if "generated" not in page.parts]
    first = ("README.md", "CONTRIBUTING.md", "models/README.md")
    return [*(REPOSITORY / name for name in first), *sorted(written)]


def shown_commands(text: str) -> list[list[str]]:
    """The commands and scripts of this project that a page runs, each with its arguments.

    A loop gives a command for each of its values. What the text mentions without arguments
    (`auralflow doctor`) or as a pattern (`auralflow config <group>`) is no line.

    Raises:
        ValueError: bash does not accept a line.
    """
    blocks = [line for line in block_lines(text) if OURS.search(line)]
    mentioned = [line for line in inline_lines(text) if WITH_ARGUMENTS.search(line)]
    patterns = [line for line in mentioned if PATTERN.search(line)]
    lines = blocks + [line for line in mentioned if OURS.search(line) and line not in patterns]
    return read_by_bash(tuple(lines))


def has_words(line: str, words: str) -> bool:
    """Whether a line has these words, next to each other."""
    return f" {words} " in f" {line} "


def block_lines(text: str) -> list[str]:
    """Lines of indented blocks, and of fenced ones that name no language.

    A line that ends in a backslash or within single quotes goes on.
    """
    text = re.sub(r"^ *```\w+\n.*?^ *```\n", "", text, flags=re.M | re.S)
    blocks = re.findall(r"^```\n(.*?)^```$", text, re.M | re.S)
    blocks += re.findall(r"(?:^ {4,}\S.*\n)+", text, re.M)
    lines = []
    for block in blocks:
        lines.append("")
        for part in block.splitlines():
            lines[-1] += part.strip()
            code = re.sub(r" # .*", "", lines[-1])
            if code.endswith("\\"):
                lines[-1] = code[:-1]
            elif not OURS.search(code) or code.count("'") % 2 == 0:
                lines.append("")
    return lines


def inline_lines(text: str) -> list[str]:
    """Code within the text, also within tables."""
    text = re.sub(r"^ *```.*?^ *```$", "", text.replace("\\|", "|"), flags=re.M | re.S)
    text = re.sub(r"^ {4,}\S.*$", "", text, flags=re.M)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text)]


@functools.cache
def read_by_bash(lines: tuple[str, ...]) -> list[list[str]]:
    """The words of each of our commands in the lines, which are not run.

    Raises:
        ValueError: bash does not accept a line; the message has the line and what bash says.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as record:
        Path(folder, "song.wav").touch()  # a line reads it
        done = subprocess.run(
            ["bash", "-c", f"exec 3>&{record.fileno()}\n{RECORDER}", "page", *lines],
            cwd=folder,
            pass_fds=[record.fileno()],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.stderr:
            raise ValueError(done.stderr)
        record.seek(0)
        content = record.read().decode()
    found = []
    for line in content.split("\n\n\0"):
        commands = [command.split("\0")[:-1] for command in line.split("\n\0")]
        found += sorted(words for words in commands if words)  # a loop may start them all at once
    return found
