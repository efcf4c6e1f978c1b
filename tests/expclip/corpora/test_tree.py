"""Folders as importers see them, files within archives, words within TextGrids, the user's matrix."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from expclip.corpora import packed, words
from expclip.corpora.tree import Tree, stem, suffix
from expclip.errors import BadRequestError

TREE = Tree("/root", ("A/one.WAV", "A/one.json", "A/two.v1.json", "b/one.wav", "c.txt"))


def test_files_are_found_by_pattern_neighbour_and_name() -> None:
    assert [file for file, _ in TREE.match(r".*/one\.(json|wav)")] == ["A/one.WAV", "A/one.json", "b/one.wav"]
    assert TREE.first("x", "c.txt") == "/root/c.txt"
    assert TREE.first("x") == ""
    assert TREE.beside("A/one.json", (".flac", ".wav")) == "/root/A/one.WAV"
    assert TREE.beside("A/two.v1.json", (".wav",)) == ""
    assert TREE.named("one", (".wav",)) == "/root/A/one.WAV"
    assert TREE.named("three", (".wav",)) == ""
    assert TREE.within("b") == ["b/one.wav"]
    assert TREE.name == "root"


def test_what_a_job_wrote_is_no_part_of_the_corpus() -> None:
    assert TREE.without("/root/A").files == ("b/one.wav", "c.txt")
    assert TREE.without("/root/b/").files == ("A/one.WAV", "A/one.json", "A/two.v1.json", "c.txt")
    assert TREE.without("/elsewhere").files == TREE.files


def test_stems_and_suffixes() -> None:
    assert [(stem(f), suffix(f)) for f in ("a/b.c.wav", "a.b/c", ".x")] == [("b.c", ".wav"), ("c", ""), (".x", "")]


def test_a_tree_is_read_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x" / ".hidden").mkdir(parents=True)
    (tmp_path / "x" / ".hidden" / "a").touch()
    (tmp_path / "x" / "b").touch()
    assert Tree.of(f"{tmp_path}/").files == ("x/b",)


def test_members_of_archives(tmp_path: Path) -> None:
    for kind, compression in (("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(tmp_path / f"{kind}.zip", "w", compression) as archive:
            archive.mkdir("d")
            archive.writestr("d/one.wav", b"sound " * 99)
            archive.writestr("d/two.wav", b"other")
    with tarfile.open(tmp_path / "plain.tar", "w") as tar:
        for name, content in (("d/one.wav", b"sound " * 99), ("d/two.wav", b"other")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    for file in ("stored.zip", "deflated.zip", "plain.tar"):
        path = str(tmp_path / file)
        assert packed.names(path) == ["d/one.wav", "d/two.wav"]
        assert packed.read(path, "one") == b"sound " * 99
        assert packed.read(path, "two") == b"other"
        with pytest.raises(BadRequestError, match=f"{file} holds no three"):
            packed.read(path, "three")
        (tmp_path / file).write_bytes(b"no archive at all")
        with pytest.raises(BadRequestError, match=f"{file} cannot be read as an archive"):
            packed.names(path)


def test_textgrids() -> None:
    interval = 'intervals [1]:\n xmin = {}\n xmax = {}\n text = "{}"\n'
    tier = 'item [{}]:\n class = "IntervalTier"\n name = "{}"\n xmin = 0\n xmax = 1\n intervals: size = 1\n'
    spoken = [interval.format(0, 0.5, "it"), interval.format(0.5, 0.6, "sp"), interval.format(0.6, 1, 'say ""hi""')]
    grid = words.tiers(
        tier.format(1, "talk") + "".join(spoken) + tier.format(2, "phones") + interval.format(0, 0.5, "IH1")
    )
    assert words.sentence(grid) == 'it say "hi"'
    assert words.phones(grid) == [(0.0, 0.5, "IH")]
    assert words.phones({"phones": [(0, 1, "ɪ")]}) == []
    assert words.tiers("no grid") == {}
    assert words.sentence({}) == ""
