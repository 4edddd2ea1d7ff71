"""Separate files: `python separate.py ckpt=... input=song.mp3`."""

from auralflow_pl.cli.main import separate

if __name__ == "__main__":
    separate()
