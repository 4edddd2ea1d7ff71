"""Measure a checkpoint: `python evaluate.py ckpt=...`."""

from auralflow_pl.cli.main import run

if __name__ == "__main__":
    run("evaluate")
