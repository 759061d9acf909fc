"""As much of the Hugging Face hub's API as a download needs, on a local port."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub_serving(repo: str, folder: Path, *, broken: tuple[str, ...] = ()) -> Iterator[tuple[str, list[str]]]:
    """The endpoint's address, and the paths asked for so far. `broken` files end in the middle."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Tests are quiet."""

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            asked.append(self.path)
            path = self.path.partition("?")[0]
            if path == f"/api/models/{repo}/tree/{COMMIT}":
                self.send(json.dumps(list(tree(folder))).encode(), with_body=with_body)
            elif path in (f"/api/models/{repo}/revision/{name}" for name in (COMMIT, "main")):
                self.send(json.dumps({"id": repo, "sha": COMMIT}).encode(), with_body=with_body)
            elif path.startswith(f"/{repo}/resolve/{COMMIT}/"):
                self.send_file(path.rpartition("/")[2], with_body=with_body)
            else:
                self.refuse("RevisionNotFound" if path.startswith(f"/api/models/{repo}/") else "RepoNotFound")

        def refuse(self, code: str) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def send_file(self, name: str, *, with_body: bool) -> None:
            content = (folder / name).read_bytes()
            self.send(content, with_body=with_body, etag=digest(content), cut=name in broken)

        def send(self, content: bytes, *, with_body: bool, etag: str = "", cut: bool = False) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            if etag:
                self.send_header("ETag", f'"{etag}"')
                self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if with_body:
                self.wfile.write(content[: len(content) // 2] if cut else content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def tree(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        yield {"type": "file", "path": path.name, "size": len(content), "oid": digest(content)}


def digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
