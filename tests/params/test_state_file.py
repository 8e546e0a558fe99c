"""Files of tensors and plain data."""

import os
import pickle
from pathlib import Path

import pytest
import torch

from pyro.params.state_file import read_state_file, write_state_file, wrong_file


class _RunsCode:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("exit 1",)


def test_nested_data_comes_back(tmp_path: Path) -> None:
    state = {"a": [torch.arange(3.0), 1, None, (2.5, "text")], "b": {"c": True}}
    write_state_file(state, tmp_path / "state.pt")
    assert str(read_state_file(tmp_path / "state.pt", "a state")) == str(state)
    assert os.listdir(tmp_path) == ["state.pt"]


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    write_state_file({"a": 1}, path)
    with pytest.raises((AttributeError, pickle.PicklingError), match="local|pickle"):
        write_state_file({"a": lambda: None}, path)
    assert read_state_file(path, "a state") == {"a": 1}
    assert os.listdir(tmp_path) == ["state.pt"]


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "link.pt").symlink_to(tmp_path / "target.pt")
    write_state_file({"a": 1}, tmp_path / "link.pt")
    assert (tmp_path / "link.pt").is_symlink()
    assert read_state_file(tmp_path / "target.pt", "a state") == {"a": 1}


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"a": _RunsCode()}, path)
    with pytest.raises(
        ValueError, match=r"a state from '.*evil\.pt': it names \w+\.system, and no"
    ):
        read_state_file(path, "a state")


@pytest.mark.parametrize("content", [b"", b"not a file of tensors", b"\x80\x02}"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.pt"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"Cannot read a state from '.*damaged\.pt': it is damaged or of ano"
    ):
        read_state_file(path, "a state")


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "truncated.pt"
    write_state_file({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(
        ValueError, match=r"Cannot read a state from '.*truncated\.pt': it is damaged or of"
    ):
        read_state_file(path, "a state")


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere.pt"):
        read_state_file(tmp_path / "nowhere.pt", "a state")


def test_tensors_go_where_they_are_mapped(tmp_path: Path) -> None:
    write_state_file({"a": torch.zeros(2)}, tmp_path / "state.pt")
    state = read_state_file(tmp_path / "state.pt", "a state", map_location="meta")
    assert state["a"].device.type == "meta"


def test_an_error_about_a_file_ends_in_one_full_stop() -> None:
    assert str(wrong_file("a.pt", "x", "no.")) == "Cannot read x from 'a.pt': no."
