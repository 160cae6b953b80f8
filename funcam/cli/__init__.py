"""The command line. Its help and its usage errors answer without importing torch: commands import it when they run."""

from funcam.cli.main import main

__all__ = ["main"]
