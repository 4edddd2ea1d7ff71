"""Make a file to share: `python export.py ckpt=... format=safetensors`."""

from auralflow_pl.cli.main import run

if __name__ == "__main__":
    run("export")
