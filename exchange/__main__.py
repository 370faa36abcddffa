"""`python -m exchange` is the command `exchange`."""

from exchange.cli.main import main

if __name__ == "__main__":
    main()
