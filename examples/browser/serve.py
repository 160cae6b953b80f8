"""The page on loopback, isolated from other origins, so that ONNX Runtime may use threads: `python serve.py [PORT]`."""

from __future__ import annotations

import sys
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
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    with ThreadingHTTPServer(("127.0.0.1", port), partial(Isolated, directory=Path(__file__).parent)) as server:
        print(f"http://localhost:{server.server_port}", flush=True)
        server.serve_forever()
