"""``funcam methods``: what each is called, what it does, and where it was published."""

from __future__ import annotations

from command_line import Funcam

from funcam.methods import METHODS


def test_each_method_has_a_line_of_its_own(funcam: Funcam) -> None:
    ran = funcam("methods")
    lines = {line.split()[0]: line for line in ran.out.splitlines()}

    assert (ran.code, ran.err) == (0, "")
    assert set(lines) == {"method", *METHODS}
    for name, method in METHODS.items():
        assert method.summary in lines[name]
        assert method.paper in lines[name]
    assert "arXiv:1610.02391" in lines["grad-cam"]
