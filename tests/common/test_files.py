"""Files are written whole, as any other program would write them, and only JSON is read as JSON."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from equigrad.common.errors import UsageError
from equigrad.common.files import check_writable, read_json, write_json, write_text


@pytest.mark.skipif(os.name != "posix", reason="only there who may read a file is decided by the umask")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_who_may_read_a_file_is_for_the_umask_to_say(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.txt", "σ")
    finally:
        os.umask(before)
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~umask


@pytest.mark.skipif(os.name != "posix", reason="has no pipes with a name, and other permissions")
def test_what_is_there_keeps_its_permissions_and_a_pipe_stays_a_pipe(tmp_path: Path) -> None:
    (secret := tmp_path / "secret").touch(0o600)
    write_text(secret, "text")
    assert (secret.read_text(), stat.S_IMODE(secret.stat().st_mode)) == ("text", 0o600)
    os.mkfifo(pipe := tmp_path / "pipe")
    with pytest.raises(UsageError, match=r"cannot write '.*pipe': it is not an ordinary file"):
        write_text(pipe, "text")
    assert pipe.is_fifo()
    for end in os.pipe():
        with pytest.raises(UsageError, match=r"cannot write '/dev/fd/\d+': it is not an ordinary file"):
            check_writable(f"/dev/fd/{end}")
        os.close(end)
    assert len([*tmp_path.iterdir()]) == 2


@pytest.mark.skipif(os.name != "posix", reason="has other permissions")
def test_what_nobody_else_may_read_is_never_written_where_others_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (secret := tmp_path / "secret").touch(0o600)
    chmod, sizes = Path.chmod, []

    def noted(self: Path, mode: int) -> None:
        sizes.append(self.stat().st_size)
        chmod(self, mode)

    monkeypatch.setattr(Path, "chmod", noted)
    write_text(secret, "text" * 10_000)
    assert sizes == [0]


def test_a_file_that_cannot_be_replaced_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="cannot write"):
        write_text(tmp_path / "folder", "text")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.txt", "\ud800")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_is_none_is_no_json(number: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(f'{{"number": {number}}}')
    with pytest.raises(UsageError, match=f"is not JSON: it holds {number}, which is no number there"):
        read_json(path)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"numbers": [0.1, 5e-324], "none": None})
    assert read_json(tmp_path / "a.json") == {"numbers": [0.1, 5e-324], "none": None}
