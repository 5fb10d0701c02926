"""Open a face.glb with three.js, in a browser page of our own, and keep a picture of it.

    cd tests/gltf && npm ci && cd ../..
    python docs/viewer/screenshot.py out/astronaut/face-1/face.glb docs/pictures/viewer.jpg
    python docs/viewer/screenshot.py out/astronaut/face-1/face.glb --serve 8000    # look and move it yourself

The picture is drawn by headless Chromium with a software renderer, so that it needs no GPU: once with the photo's own
expression, and with single movements set as an animator would set them.
"""

from __future__ import annotations

import argparse
import base64
import functools
import http.server
import json
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.parse
from pathlib import Path

import cv2
import numpy as np

HERE = Path(__file__).parent
THREE = HERE.parent.parent / "tests" / "gltf" / "node_modules" / "three"
PANES = ("photo@0", "@0", "jawOpen:0.7,eyeBlinkLeft:1@0", "jawOpen:0.7,eyeBlinkLeft:1@35")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-gl=angle", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader", "--remote-debugging-port=0",
)  # fmt: skip


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the page, three.js and one GLB file, and takes the picture that the page sends back."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args, model: Path, answers: queue.Queue, **kwargs) -> None:
        self.model, self.answers = model, answers
        super().__init__(*args, directory=str(HERE), **kwargs)

    def translate_path(self, path: str) -> str:
        path = urllib.parse.urlparse(path).path
        if path == "/face.glb":
            return str(self.model)
        if path.startswith("/three/") and ".." not in path:
            return str(THREE / path.removeprefix("/three/"))
        return super().translate_path(path)

    def do_POST(self) -> None:
        self.answers.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args) -> None:
        pass


def render(model: Path, panes: tuple[str, ...], side: int, browser: str, seconds: float = 120) -> dict:
    """What the page answers: `picture` (a PNG data address), `movements`, `vertices`, `three`; or `error`."""
    answers: queue.Queue = queue.Queue()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, model=model, answers=answers))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    query = urllib.parse.urlencode([("side", side), *(("panes", pane) for pane in panes)])
    address = f"http://127.0.0.1:{server.server_address[1]}/index.html?{query}"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [browser, *FLAGS, f"--user-data-dir={profile}", address]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return answers.get(timeout=seconds)
        except queue.Empty:
            return {"error": f"{browser} gave no picture within {seconds:.0f} s"}
        finally:
            process.terminate()
            process.wait(timeout=20)
            server.shutdown()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a face.glb")
    parser.add_argument("picture", type=Path, nargs="?", help="PNG or JPEG to write")
    parser.add_argument("--pane", action="append", help='such as "jawOpen:0.7,eyeBlinkLeft:1@35" (movements @ degrees)')
    parser.add_argument("--side", type=int, default=360, help="pixels of a pane")
    parser.add_argument("--serve", type=int, metavar="PORT", help="only serve the page, with sliders")
    parser.add_argument("--browser", default=shutil.which("chromium") or shutil.which("google-chrome") or "chromium")
    options = parser.parse_args()
    if not THREE.is_dir():
        parser.error("three.js is not installed: run `npm ci` in tests/gltf")
    if options.serve:
        handler = functools.partial(Handler, model=options.model, answers=queue.Queue())
        print(f"http://127.0.0.1:{options.serve}/")
        http.server.ThreadingHTTPServer(("127.0.0.1", options.serve), handler).serve_forever()
    answer = render(options.model, tuple(options.pane or PANES), options.side, options.browser)
    if "error" in answer:
        print(answer["error"], file=sys.stderr)
        return 1
    print(f"three.js r{answer['three']}: {answer['vertices']} vertices, {len(answer['movements'])} movements")
    if options.picture:
        data = np.frombuffer(base64.b64decode(answer["picture"].split(",")[1]), np.uint8)
        quality = [cv2.IMWRITE_JPEG_QUALITY, 88] if options.picture.suffix in (".jpg", ".jpeg") else []
        cv2.imwrite(str(options.picture), cv2.imdecode(data, cv2.IMREAD_COLOR), quality)
    return 0


if __name__ == "__main__":
    sys.exit(main())
