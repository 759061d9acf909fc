"""One process at a time, and none once its holder is gone."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from softprompt import locks
from softprompt.errors import UserError
from softprompt.locks import only_process

HOLDER = """
import sys, time
from pathlib import Path
from softprompt.locks import only_process
with only_process("train@p_tuning-tiny_bert", Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_told_who_is_at_work_and_since_when(
    holder: "subprocess.Popen[str]", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE_SECONDS", 0.2)
    said = (
        rf"train@p_tuning-tiny_bert is at work already: process {holder.pid}, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d;"
    )
    for _ in range(2):  # who asks leaves the holder's name where it is
        with pytest.raises(UserError, match=said), only_process("train@p_tuning-tiny_bert", tmp_path):
            pass


def test_another_name_or_folder_is_free(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    with only_process("train@p_tuning-tiny_gpt2", tmp_path), only_process("train@p_tuning-tiny_bert", tmp_path / "b"):
        assert holder.poll() is None


def test_the_lock_of_a_killed_holder_is_free(holder: "subprocess.Popen[str]", tmp_path: Path) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    with only_process("train@p_tuning-tiny_bert", tmp_path):
        assert f"process {os.getpid()}," in (tmp_path / "train@p_tuning-tiny_bert.lock").read_text()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named_with_the_fix(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(descriptor: int, operation: int) -> None:  # noqa: ARG001 - the signature of fcntl.flock
        raise OSError(number, os.strerror(number))

    folder = tmp_path / ".locks"
    with monkeypatch.context() as patched:  # no such file system can be mounted here
        patched.setattr(fcntl, "flock", flock)
        said = rf"{folder}: its file system keeps no locks \({os.strerror(number)}\); make it a link"
        for _ in range(2):  # nothing is left that a later run would stumble over
            with pytest.raises(UserError, match=said), only_process("train", folder):
                pass
    shutil.rmtree(folder)
    (tmp_path / "local").mkdir()
    folder.symlink_to(tmp_path / "local")
    with only_process("train", folder):
        assert (tmp_path / "local" / "train.lock").is_file()
