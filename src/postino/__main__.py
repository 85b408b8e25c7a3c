"""`python -m postino` is the command line."""

from postino.cli.main import main

if __name__ == "__main__":
    main()
