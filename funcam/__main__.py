"""`python -m funcam` is the command `funcam`."""

from funcam.cli import main

main()
