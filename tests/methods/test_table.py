"""The table of methods: it leads to the functions, and says of each what it takes."""

from __future__ import annotations

import inspect

import pytest

import funcam
from funcam import METHODS, FuncamError
from funcam.attribution.option_names import OURS, option_names
from funcam.attribution.quantities import FOR_ALL, PER_SCORE
from funcam.methods import find_method

FUNCTIONS = {"head", "network", "guided_network", "masked_network"}
ASKED_FOR = (
    "cam grad-cam grad-cam++ smooth-grad-cam++ xgrad-cam hires-cam element-wise-grad-cam layer-cam shapley-cam "
    "finer-cam eigen-cam eigen-grad-cam seg-eigen-cam kpca-cam fem dff ablation-cam score-cam ss-cam is-cam full-grad "
    "le-grad gradient smooth-grad input-x-gradient guided-backprop guided-grad-cam random-cam"
)


def test_every_method_that_was_asked_for_is_there():
    assert set(ASKED_FOR.split()) <= set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_a_line_says_what_the_function_takes(name):
    method = METHODS[name]
    parameters = inspect.signature(method.function()).parameters.values()
    positional = [p for p in parameters if p.kind is not p.KEYWORD_ONLY]
    assert method.name == name
    assert len(positional) == len(method.takes)
    assert set(method.takes) <= {*PER_SCORE, *FOR_ALL, *FUNCTIONS, "image", "guided_g", "cam"}
    assert method.gives in ("map", "heat", "pixels")
    assert ("chunk" in {p.name for p in parameters}) == method.whole


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_a_public_function_of_its_name(name):
    public = {"grad-cam++-normalised": "grad_cam_pp_normalised"}.get(name, name.replace("++", "_pp").replace("-", "_"))
    function = getattr(funcam, public)
    assert public in funcam.__all__
    assert function is METHODS[name].function() or name == "guided-backprop"
    for word in ("Args:", "Returns:", "Source:", "Example:"):
        assert word in inspect.getdoc(function) or (name == "guided-backprop" and word in ("Args:", "Returns:"))


@pytest.mark.parametrize("name", METHODS)
def test_options_read_in_the_source_are_those_of_the_function(name):
    keywords = (p for p in inspect.signature(METHODS[name].function()).parameters.values() if p.kind is p.KEYWORD_ONLY)
    own = [p.name for p in keywords if p.name not in OURS]
    assert option_names(name) == (*own, *METHODS[name].options)


@pytest.mark.parametrize("name", METHODS)
def test_a_paper_is_named(name):
    paper = METHODS[name].paper
    assert any(word in paper for word in ("arXiv:", "doi:", "hal-", "baseline"))


def test_titles_differ():
    assert len({method.title for method in METHODS.values()}) == len(METHODS)


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(FuncamError, match=r"unknown method 'gradcam\+\+'; nearest: 'grad-cam\+\+'"):
        find_method("gradcam++")
