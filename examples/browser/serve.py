"""The page on loopback, isolated from other origins, so that ONNX Runtime may use threads: `python serve.py [PORT]`."""

from __future__ import annotations

import argparse
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Isolated(SimpleHTTPRequestHandler):
    """Files of a folder, with the headers that SharedArrayBuffer asks for."""

    def end_headers(self) -> None:
        """Add them to whatever is answered."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The page on loopback.")
    parser.add_argument("port", type=int, nargs="?", default=8000)
    address = "127.0.0.1", parser.parse_args().port
    try:
        with ThreadingHTTPServer(address, partial(Isolated, directory=Path(__file__).parent)) as server:
            print(f"http://localhost:{server.server_port}", flush=True)
            server.serve_forever()
    except (OSError, OverflowError) as error:
        parser.error(f"port {address[1]}: {error}")
    except KeyboardInterrupt:
        pass
