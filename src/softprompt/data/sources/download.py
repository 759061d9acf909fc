"""One file over HTTP: resumed where it broke off, checked by its SHA-256, and in place whole or not at all."""

import http.client
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from softprompt.data.sources.lock import Lock
from softprompt.data.sources.storage import storage_errors
from softprompt.errors import UserError
from softprompt.files import sha256_of_file
from softprompt.progress import byte_bar

CHUNK_BYTES = 1 << 16
TIMEOUT_SECONDS = 30
PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)  # before each new attempt since the file last grew
BUSY = (408, 425, 429, 500, 502, 503, 504)
BROKEN = (http.client.HTTPException, ConnectionError, TimeoutError, URLError)
INSTEAD = "or put the files into a folder of your own and set `source: local` with its `path`"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Remote:
    """A file on the network. Without a `sha256`, the one that `record_first` was given holds from then on."""

    url: str
    sha256: str | None = None


def fetch(remote: Remote, target: Path, lock: Lock) -> str:
    """Make sure that `target` is the remote file, and return its SHA-256. A file that is there already is checked
    and not downloaded again.

    Raises UserError where the address is wrong or out of reach, the content is not the expected one (it is deleted),
    or the disk refuses it. What was received before a broken connection stays in `<target>.part` and is gone on from.
    """
    expected = remote.sha256 or lock.recorded(remote.url)
    with storage_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        if not _is_there(target, expected):
            _download(remote.url, _part(target), expected)
            _check(remote, _part(target), expected, lock)
            _part(target).replace(target)
        return expected or sha256_of_file(target)


def record_first(remote: Remote, sha256: str, lock: Lock) -> None:
    """Record what an address without a known SHA-256 gave. Called after the file proved to be what it should be: a
    page that a server answers with instead must not become what is expected."""
    if remote.sha256 is None and lock.recorded(remote.url) is None:
        lock.record(remote.url, sha256)


def _is_there(target: Path, expected: str | None) -> bool:
    if not target.is_file():
        return False
    if expected in (None, sha256_of_file(target)):
        return True
    log.warning("%s is damaged; downloading it again", target)
    return False


def _part(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


def _tag(part: Path) -> Path:
    """Where the version of the file that a part belongs to is saved, as the server names it."""
    return part.with_name(f"{part.name}.tag")


def _check(remote: Remote, part: Path, expected: str | None, lock: Lock) -> None:
    _tag(part).unlink(missing_ok=True)
    received = sha256_of_file(part)
    if expected in (None, received):
        return
    part.unlink()
    known = "as published" if remote.sha256 else f"as {lock.path} recorded on first use"
    fix = "run again" if remote.sha256 else f"run again, or remove its line from {lock.path} if the change is meant"
    raise UserError(
        f"{remote.url}: the file received has the SHA-256 {received}; expected {expected}, {known}; "
        f"it was deleted; {fix}, {INSTEAD}"
    )


def _download(url: str, part: Path, expected: str | None) -> None:
    """Attempts until the file is whole. Only those in a row that bring nothing new count as failures."""
    failures, largest = 0, _size(part)
    while True:
        try:
            return _attempt(url, part, any_version=expected is not None)
        except BROKEN as error:
            _refuse_what_stays_wrong(url, error)
            failures = 0 if _size(part) > largest else failures
            largest = max(largest, _size(part))
            if failures == len(PAUSES_SECONDS):
                raise UserError(
                    f"{url}: no connection ({_reason(error)}); check the network and run again to go on, {INSTEAD}"
                ) from error
        log.info("%s: broken off at %d bytes, trying again", url, _size(part))
        time.sleep(PAUSES_SECONDS[failures])
        failures += 1


def _refuse_what_stays_wrong(url: str, error: Exception) -> None:
    if isinstance(error, HTTPError) and error.code == 416:  # the rest was requested where there is none: begin anew
        return
    if isinstance(error, HTTPError) and error.code not in BUSY:
        raise UserError(f"{url}: the server says {error.code} {error.reason}; check the address, {INSTEAD}") from error


def _reason(error: Exception) -> str:
    return str(error.reason if isinstance(error, URLError) else error) or type(error).__name__


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _attempt(url: str, part: Path, *, any_version: bool) -> None:
    """Receive what is missing. Without a SHA-256 to check by, parts are joined only if the server names one version."""
    tag = _tag(part)
    known = tag.read_text(encoding="utf-8") if tag.is_file() else ""
    start = _size(part) if known or any_version else 0
    request = Request(url, headers=_range_headers(start, known))
    try:
        response = urlopen(request, timeout=TIMEOUT_SECONDS)
    except HTTPError as error:
        if error.code == 416:
            part.unlink(missing_ok=True)
        raise
    with response:
        start = start if response.status == 206 else 0
        tag.write_text(response.headers.get("ETag") or response.headers.get("Last-Modified") or "", encoding="utf-8")
        total = _total_bytes(response, start)
        _receive(response, part, start, total)
    if total is not None and _size(part) != total:
        raise http.client.IncompleteRead(b"", total - _size(part))


def _range_headers(start: int, version: str) -> dict[str, str]:
    if start == 0:
        return {}
    return {"Range": f"bytes={start}-", **({"If-Range": version} if version else {})}


def _total_bytes(response: http.client.HTTPResponse, start: int) -> int | None:
    length = response.headers.get("Content-Length")
    return start + int(length) if length else None


def _receive(response: http.client.HTTPResponse, part: Path, start: int, total: int | None) -> None:
    with part.open("ab" if start else "wb") as handle, byte_bar(part.stem, start, total) as bar:
        while chunk := response.read(CHUNK_BYTES):
            handle.write(chunk)
            bar.update(len(chunk))
