"""What the command `stepahead` runs, and `python -m stepahead`.  It loads the shell where Ctrl-C already ends in one
line.
"""

import sys


def main() -> None:
    """Run the shell."""
    try:
        from stepahead.cli import main as shell

        shell()
    except KeyboardInterrupt:  # while Python loads; later the shell answers it itself
        print("stopped", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
