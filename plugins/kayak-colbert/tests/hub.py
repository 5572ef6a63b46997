"""A Hugging Face Hub of one model on this machine: the answers that its client asks for, over HTTP."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serve(name: str, folder: Path, more: Mapping[str, bytes] | None = None) -> Iterator[str]:
    """Serve a folder and more files as the model `name`, at its default branch; the address is for HF_ENDPOINT."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    files.update(more or {})

    class Answers(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def log_message(self, format: str, *arguments: object) -> None:
            """Keep the terminal clear."""

        def _answer(self) -> None:
            path = unquote(self.path).partition("?")[0]
            resolved = f"/{name}/resolve/"
            if path in (f"/api/models/{name}", f"/api/models/{name}/revision/main"):
                listed = [{"rfilename": each} for each in files]
                self._send(200, json.dumps({"id": name, "sha": COMMIT, "siblings": listed}).encode())
            elif path.startswith(f"/api/models/{name}/revision/"):
                self._send(404, b"", "RevisionNotFound")
            elif path.startswith(resolved):
                content = files.get(path.removeprefix(resolved).partition("/")[2].removeprefix("./"))
                self._send(404, b"", "EntryNotFound") if content is None else self._send(200, content)
            else:
                self._send(404, b"", "RepoNotFound")

        def _send(self, status: int, content: bytes, code: str | None = None) -> None:
            self.send_response(status)
            if code is not None:
                self.send_header("X-Error-Code", code)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
