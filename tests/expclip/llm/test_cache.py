"""The cache: what was received is there again, after a kill and for other processes."""

from pathlib import Path

import pytest

from expclip import storage
from expclip.llm import Reply
from expclip.llm.cache import Cache


def test_answers_are_on_disk_at_once(tmp_path: Path) -> None:
    first, second = Cache(str(tmp_path)), Cache(str(tmp_path))
    first.put("a", Reply("one — with a dash", tokens_in=5, tokens_out=2))
    second.put("b", Reply("two", cut=True))
    found = Cache(str(tmp_path))  # nothing was closed
    assert found.get("a") == Reply("one — with a dash", tokens_in=5, tokens_out=2)
    assert found.get("b") == Reply("two", cut=True)
    assert found.get("c") is None
    assert found.totals() == (2, 5, 2)
    assert len(list(tmp_path.iterdir())) == 2
    first.close()
    second.close()


def test_a_torn_line_costs_one_answer_alone(tmp_path: Path) -> None:
    cache = Cache(str(tmp_path))
    cache.put("a", Reply("one"))
    cache.put("b", Reply("two"))
    cache.close()
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:-10])
    again = Cache(str(tmp_path))
    assert again.get("a") == Reply("one")
    assert again.get("b") is None


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cache = Cache()
    cache.put("a", Reply("one"))
    cache.close()
    assert cache.get("a") == Reply("one")
    assert not list(tmp_path.iterdir())


def test_object_storage_gets_whole_objects(s3_folder: str) -> None:
    cache = Cache(s3_folder)
    for number in range(3):
        cache.put(str(number), Reply(f"answer {number}"))
    cache.flush(now=True)
    cache.put("3", Reply("answer 3"))
    cache.close()
    assert len(storage.listing(s3_folder, ".jsonl")) == 2
    again = Cache(s3_folder)
    assert [again.get(str(k)) for k in range(4)] == [Reply(f"answer {k}") for k in range(4)]
