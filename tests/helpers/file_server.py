"""A web server on this machine that serves files from memory, understands Range, and breaks off when told to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """`files` by path. The next responses end after as many bytes as `breaks` says, or have a status of `statuses`."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    etags: bool = True
    ranges: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list)  # (path, its Range header)

    def add(self, path: str, content: bytes) -> str:
        """Serve the content; its address."""
        self.files[path] = content
        return f"{self.url}/{path}"


@contextmanager
def serving() -> Iterator[FileServer]:
    """A server that runs for as long as the block does."""
    state = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self, state)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(request: BaseHTTPRequestHandler, state: FileServer) -> None:
    path = request.path.removeprefix("/").partition("?")[0]
    asked = request.headers.get("Range", "")
    state.asked.append((path, asked))
    if state.statuses or path not in state.files:
        request.send_error(state.statuses.pop(0) if state.statuses else 404)
        return
    content = state.files[path]
    etag = f'"{hash(content)}"' if state.etags else ""
    start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and state.ranges else 0
    start = start if request.headers.get("If-Range") in (None, etag) else 0
    if start >= len(content) > 0:
        request.send_error(416)
        return
    request.send_response(206 if start else 200)
    request.send_header("Content-Length", str(len(content) - start))
    if etag:
        request.send_header("ETag", etag)
    request.end_headers()
    end = start + state.breaks.pop(0) if state.breaks else len(content)
    request.wfile.write(content[start:end])
    request.close_connection = True
