"""Measure a checkpoint: `python evaluate.py ckpt=...`."""

from auralflow_pl.cli.main import evaluate

if __name__ == "__main__":
    evaluate()
