"""Train a network: `python train.py model=simple target=vocals`."""

from auralflow_pl.cli.main import train

if __name__ == "__main__":
    train()
