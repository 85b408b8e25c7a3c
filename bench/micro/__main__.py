"""`python -m bench.micro`: prints a line for each hot pure function."""

from bench.micro import commands, filters, messages


def main() -> None:
    """All of them; under a minute."""
    for timings in (messages.timings, commands.timings, filters.timings):
        for timing in timings():
            print(timing.line(), flush=True)


if __name__ == "__main__":
    main()
