"""How it is said that work stopped, goes on, or is called otherwise: by every command in the same words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def stopped(done: int, total: int | None, how: str, flag: str = "", *, what: str = "images") -> str:
    """What Ctrl-C leaves, and how to go on.

    Args:
        done: so many are done.
        total: of how many; None where nobody knows.
        how: what was done with them.
        flag: the option without which the same command begins anew.
        what: of what.

    Example:
        >>> stopped(99, 1000, "measured")
        '99 of 1,000 images are measured; the same command goes on'
    """
    return f"{_of(done, total)} {what} are {how}; the same command {f'with {flag} ' if flag else ''}goes on"


def told_before(before: int, total: int | None, how: str, *, what: str = "images") -> str:
    """What an earlier run has done.

    Args:
        before: so many.
        total: of how many; None where nobody knows.
        how: what was done with them.
        what: of what.

    Example:
        >>> told_before(99, 1000, "measured")
        '99 of 1,000 images were measured before; going on'
    """
    told = f"{_of(before, total)} {what} were {how} before"
    return f"nothing was left to do: {told}, and are left as they are" if before == total else f"{told}; going on"


def called_with_letters(names: Sequence[tuple[str, str]], folder: Path, overwrites: bool = True) -> str:
    """What results are called that can't be called as usual.

    Args:
        names: what a record is called as usual, and what it is called, without `.json`; of each.
        folder: where they are.
        overwrites: whether `--overwrite` would give them the usual one; it doesn't take it from others of the same run.

    Example:
        >>> called_with_letters([("dog-scenes", "dog-scenes-3fa91c04be")], Path("out"), overwrites=False)
        'another image has the name dog-scenes.json: these are called dog-scenes-3fa91c04be'
    """
    (usual, name), *others = names
    more = f", and {len(others)} more like it" if others else ""
    if not overwrites:
        return f"another image has the name {usual}.json: these are called {name}{more}"
    where = f"{usual}.json in {str(folder)!r} is of other options or another file, or was"
    return f"{where}: these are called {name}{more}; --overwrite takes it"


def _of(count: int, total: int | None) -> str:
    return f"{count:,}" if total is None else f"{count:,} of {total:,}"
