"""A fork while another thread traces or explains: the child explains as its parent does, and never hangs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

CODE = """
import os, signal, sys, threading
import torch
from small import small
from torch import nn
import funcam

class Moody(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = small(3)
    def forward(self, x):
        return self.net(x) if x.sum() > -1e9 else -self.net(x)

def shared_or_own():
    funcam.explain(shared, images[..., : 24 + next(sides) % 8], 1)
    funcam.explain(make(), images, 1, layer=names)

kind = sys.argv[1]
make = {"fx": lambda: small(3), "tap": Moody}[kind]
names = ["stem", "blocks"] if kind == "fx" else ["net.stem", "net.blocks"]
images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
torch.set_num_threads(1)
shared = make()
want = funcam.explain(shared, images, 1).maps
stop, sides = threading.Event(), iter(range(10**9))

def busy():
    while not stop.is_set():
        shared_or_own()

threads = [threading.Thread(target=busy, daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
codes = []
for number in range(3):
    funcam.explain(make(), images, 1)
    child = os.fork()
    if not child:
        signal.alarm(60)
        right = torch.equal(funcam.explain(shared, images, 1).maps, want)  # known in the parent, and in use there
        right &= torch.equal(funcam.explain(make(), images, 1).maps, want)  # new
        funcam.explain(shared, images[..., :20], 1)
        os._exit(0 if right else 3)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop.set()
for thread in threads:
    thread.join()
print(codes)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.skipif(torch.cuda.is_available(), reason="torch refuses derivatives in a fork where it has a card")
@pytest.mark.parametrize("kind", ["fx", pytest.param("tap", marks=pytest.mark.slow)])
def test_children_forked_while_threads_explain(kind):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # (libgomp itself hangs in a child with more)
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE, kind],
        capture_output=True,
        text=True,
        env=environment,
        timeout=500,
        check=False,
    )
    assert run.stdout.strip() == "[0, 0, 0]", run.stderr
