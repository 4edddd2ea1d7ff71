"""The files for Docker name what exists. Tests build no image: that needs a daemon."""

import re
import shlex
import tomllib

import yaml

from auralflow_pl.cli.table import COMMANDS
from auralflow_pl.config.schema import ServeKeys
from auralflow_pl.config.validation import validate
from support import REPOSITORY, composed

DOCKER = REPOSITORY / "docker"


def instructions():
    """Instructions of the Dockerfile: name and the rest, without comments and line breaks."""
    text = re.sub(r"^#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.M)
    lines = text.replace("\\\n", " ").splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line.strip()]


def keys_of(arguments):
    """The configuration that arguments of the image compose to."""
    command, *given = arguments
    assert command in COMMANDS
    return validate(composed(command, *given), ServeKeys)


def test_the_image_is_installed_from_the_wheelhouse_only():
    names = [name for name, _ in instructions()]
    assert names[:2] == ["ARG", "FROM"]
    assert "ADD" not in names
    (run,) = (rest for name, rest in instructions() if name == "RUN")
    words = shlex.split(run)
    assert "--no-index" in words
    assert "--find-links=/wheelhouse" in words
    assert "--mount=type=bind,source=wheelhouse,target=/wheelhouse" in words
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    (wanted,) = (word for word in words if word.startswith(project["name"]))
    extras = wanted.partition("[")[2].rstrip("]").split(",")
    assert set(extras) <= set(project["optional-dependencies"])
    assert "serve" in extras
    assert "!wheelhouse" in (DOCKER / ".dockerignore").read_text().splitlines()


def test_the_build_asks_for_no_frontend():
    """BuildKit would look for it on a registry: https://docs.docker.com/build/concepts/dockerfile/"""
    assert not re.search(r"^#\s*syntax\s*=", (DOCKER / "Dockerfile").read_text(), flags=re.M)


def test_image_and_compose_file_start_the_command_with_keys_that_it_has():
    parts = dict(instructions())
    program, *arguments = yaml.safe_load(parts["ENTRYPOINT"])
    assert program == "auralflow"
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    service = compose["services"]["auralflow"]
    config = keys_of([*arguments, *service["command"]])
    assert (config.host, config.port) == ("0.0.0.0", int(parts["EXPOSE"]))
    assert config.token_file == f"/run/secrets/{service['secrets'][0]}"
    assert service["secrets"] == list(compose["secrets"])
    assert service["ports"] == [f"127.0.0.1:{config.port}:{config.port}"]
    assert service["build"]["network"] == "none"
    assert service["pull_policy"] == "never"
    assert service["volumes"] == [f"work:{config.folder}"]
    assert parts["VOLUME"] == config.folder
    user = re.search(r"--uid (\d+) (\w+)", parts["RUN"])
    assert parts["USER"] == user[2]
    assert f"uid={user[1]}" in service["tmpfs"][1]
