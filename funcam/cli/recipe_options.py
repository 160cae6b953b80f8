"""The options that say how a map is made: they become a recipe, and every wrong word is found without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from funcam.attribution.option_names import no_option, option_names
from funcam.attribution.option_values import check_option
from funcam.cli.messages import UsageError, check_choice
from funcam.errors import FuncamError
from funcam.methods import find_method
from funcam.pipeline.recipes import ALL, CAMS, GUIDED, find_recipe
from funcam.recipe import COMBINATIONS, SMOOTHINGS, Recipe

RUNNER_UP = "runner-up"


def recipe_of(
    name: str | None,
    methods: Sequence[str],
    layers: Sequence[str],
    combine: str | None,
    smooth: Sequence[str],
    settings: Sequence[str],
    input_size: int | None,
) -> Recipe:
    """The recipe that options ask for: that of `--recipe`, or one of words that are repeated or have commas between.

    Args:
        name: `--recipe`, which stands for all others but `--set`.
        methods: `--method`; none for the usual ones.
        layers: `--layer`.
        combine: `--combine`.
        smooth: `--smooth`.
        settings: `--set`, each `METHOD.OPTION=VALUE`.
        input_size: `--input-size`.

    Raises:
        UsageError: a word that is none of those, or words that don't go together.

    Example:
        >>> recipe_of(None, ["grad-cam,score-cam"], [], None, [], ["score-cam.strongest=64"], None).options
        {'score-cam': {'strongest': 64}}
    """
    if name is None:
        recipe = Recipe(separated(methods), separated(layers), combine, separated(smooth), input_size=input_size)
    elif methods or layers or combine or smooth or input_size:
        raise UsageError("--recipe names method, layers, smoothing and input size; leave out the options for them")
    else:
        recipe = _named(name)
    if recipe.methods != (ALL,):
        check_methods(recipe.methods)
    check_smoothings(recipe.smooth)
    check_combination(recipe.combine, len(recipe.layers))
    return replace(recipe, options=settings_of(settings, recipe.methods or (*CAMS, *GUIDED)))


def _named(name: str) -> Recipe:
    try:
        return find_recipe(name)
    except FuncamError as error:
        raise UsageError(f"--recipe: {error}") from error


def separated(texts: Sequence[str]) -> tuple[str, ...]:
    """Words that were repeated or stand with commas between, each once.

    Example:
        >>> separated(["a,b", "b", "c"])
        ('a', 'b', 'c')
    """
    return tuple(dict.fromkeys(word.strip(" ") for text in texts for word in text.split(",") if word.strip()))


def compared_methods(texts: Sequence[str]) -> tuple[str, ...]:
    """The methods of `--method` where they are compared with each other.

    Raises:
        UsageError: one that is unknown, or `all`.
    """
    names = separated(texts)
    if ALL in names:
        raise UsageError("--method all is not for a comparison; name the methods")
    check_methods(names)
    return names


def check_methods(names: Sequence[str]) -> None:
    """Refuse what is no method; `all` is none of several, and none where one is taken."""
    if ALL in names:
        told = f" stands alone; got {', '.join(names)}" if len(names) > 1 else ": one method is taken here; name it"
        raise UsageError(f"--method all{told}")
    for name in names:
        _check_method(name, "--method")


def check_smoothings(names: Sequence[str]) -> None:
    """Refuse what is no smoothing."""
    for name in names:
        check_choice("--smooth", name, SMOOTHINGS)


def check_combination(combine: str | None, layers: int) -> None:
    """Refuse what is no combination, and one of fewer than two layers."""
    if combine is None:
        return
    check_choice("--combine", combine, COMBINATIONS)
    if layers < 2:
        raise UsageError(f"--combine {combine} makes one map of several layers; give --layer more than once")


def settings_of(settings: Sequence[str], methods: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """`METHOD.OPTION=VALUE` by method and option; the value is read as JSON where it is JSON, else it is a word.

    Args:
        settings: `--set`.
        methods: those that are computed.

    Raises:
        UsageError: another form, a method that is not computed, no option of it, or a value that it can't have.
    """
    options: dict[str, dict[str, Any]] = {}
    for setting in settings:
        place, equals, value = setting.partition("=")
        method, dot, option = place.partition(".")
        if not (equals and dot and option):
            raise UsageError(f"--set {setting!r} is not METHOD.OPTION=VALUE, e.g. score-cam.strongest=64")
        _check_method(method, "--set")
        if method not in methods and ALL not in methods:
            raise UsageError(
                f"--set {setting!r}: {method} is not among the methods that are computed; add --method {method}"
            )
        known = option_names(method)
        if option not in known:
            raise UsageError(f"--set {setting!r}: {no_option(method, option, known)}")
        options.setdefault(method, {})[option] = _value(setting, method, option, value)
    return options


def _check_method(name: str, option: str) -> None:
    try:
        find_method(name)
    except FuncamError as error:
        raise UsageError(f"{option}: {error}") from error


def _value(setting: str, method: str, option: str, text: str) -> Any:
    """What the text says, as JSON where it is JSON; refused where the option can't be that."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    try:
        check_option(method, option, value)
    except FuncamError as error:
        raise UsageError(f"--set {setting!r}: {error}") from error
    return value
