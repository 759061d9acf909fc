"""A working copy that was finished undisturbed, once for all tests here, and the process that runs stages in it."""

from collections.abc import Iterator

import pytest
from working_copy import Undisturbed, Zygote, new_copy


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    process = Zygote(tmp_path_factory.mktemp("outputs"))
    yield process
    process.close()


@pytest.fixture(scope="session")
def undisturbed(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    folder = new_copy(tmp_path_factory.mktemp("undisturbed") / "copy")
    return Undisturbed(folder, zygote.finish(folder))
