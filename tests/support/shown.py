"""The command lines that the documentation shows."""

import re
import shlex


def shown_commands(text: str) -> list[list[str]]:
    """The command lines of a page: what follows `auralflow` or `python <command>.py`."""
    text = re.sub(r" *\\\n *", " ", text.replace("\\|", "|"))
    blocks = re.findall(r"^ {4,}(\S.*)$", text, re.M)
    fences = re.sub(r"^```\w+\n.*?^```\n", "", text, flags=re.M | re.S)  # of other languages
    blocks += [
        line
        for part in re.findall(r"^```\n((?:(?!```).*\n)*)```$", fences, re.M)
        for line in part.splitlines()
    ]
    blocks += re.findall(r"`([^`\n]+)`", text)
    found = []
    for line in blocks:
        command = re.match(r"(?:[A-Z_]+=\S+ )*(?:auralflow |python (\w+)\.py\b)(.*)", line)
        if command:
            words = shlex.split(re.split(r" [;&>|] |\)\"", command[2])[0], comments=True)
            found.append([command[1], *words] if command[1] else words)
    return found
