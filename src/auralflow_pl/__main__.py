"""`python -m auralflow_pl`: the same as the command `auralflow`."""

from auralflow_pl.cli.main import main

if __name__ == "__main__":
    main()
