"""`python -m spymaster` is the command `spymaster`."""

from spymaster.cli import main

if __name__ == "__main__":
    main()
