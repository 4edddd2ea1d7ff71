"""Separate files: `python separate.py ckpt=... input=song.mp3`."""

from auralflow_pl.cli.main import run

if __name__ == "__main__":
    run("separate")
