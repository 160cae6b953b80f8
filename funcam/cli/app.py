"""`funcam app`: a page to drop a picture on, served on this machine."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import time
from typing import Annotated

import typer

from funcam.cli import input_options as options
from funcam.cli.device import check_device
from funcam.cli.messages import UsageError, check_file
from funcam.cli.net_loading import load_on_device
from funcam.cli.net_option import OWN, parse_net_spec
from funcam.errors import FuncamError
from funcam.live import HINT

_ALONE = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
_LOCAL = "127.0.0.1"


def app(
    nets: Annotated[
        list[str] | None,
        typer.Option("--net", "-n", help=f"To begin with: name (`funcam nets`), NAME=WEIGHTS, {OWN}; repeat."),
    ] = None,
    labels: options.Labels = None,
    device: options.Device = "auto",
    host: Annotated[str, typer.Option("--host", help="Who may ask: this machine only, or 0.0.0.0 for all.")] = _LOCAL,
    port: Annotated[
        int | None, typer.Option("--port", "-p", min=1, max=65535, help="Else the first free one from 7860.")
    ] = None,
    upload: Annotated[int, typer.Option("--max-upload", min=1, help="Megabytes that a picture may have.")] = 20,
    browse: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")] = False,
) -> None:
    """Serve a page to drop a picture on: needs no network and no weights (scenes), keeps nothing, asks nobody."""
    import tempfile  # takes a while, which help need not wait for

    specs = [parse_net_spec(text) for text in nets or []]
    check_device(device)
    check_file("--labels", labels)
    if labels is not None and not specs:
        raise UsageError("--labels names the classes of --net, and none was given; give --net too, or leave it out")
    if importlib.util.find_spec("gradio") is None:
        raise FuncamError(HINT)
    loaded = [load_on_device(spec, labels, device, quiet, None, None)[0] for spec in specs]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the folder goes then, too
    with tempfile.TemporaryDirectory(prefix="funcam-app-") as folder:
        os.environ.update(_ALONE, GRADIO_TEMP_DIR=folder)
        from funcam.live.serving import app as make

        how = {"server_name": host, "server_port": port, "max_file_size": upload * 2**20, "inbrowser": browse}
        try:
            *_, address, _ = make(*loaded).launch(prevent_thread_lock=True, quiet=True, **how)
        except OSError as error:
            raise FuncamError(f"{host}:{port or 'any port'} can't be listened at; give another --port") from error
        if not quiet:
            print(f"{address} (Ctrl-C ends it)", flush=True)
        while True:
            time.sleep(3600)
