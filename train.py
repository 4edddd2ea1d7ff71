"""Train a network: `python train.py model=simple target=vocals`."""

from auralflow_pl.cli.main import run

if __name__ == "__main__":
    run("train")
