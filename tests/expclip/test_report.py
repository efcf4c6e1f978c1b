"""The page: everything found is on it, words are escaped, pictures and charts are within it."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from expclip import report
from expclip.findings import Finding, Sample, bars, histogram
from expclip.rig import load_rig


class Outline(HTMLParser):
    """Notes which tags open and close."""

    void = frozenset(("meta", "img", "rect", "line"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.open.pop() == tag


def finding() -> Finding:
    chart = histogram("lengths", [0.5, 1.0, 1.0, float("nan")], 4, " s")
    assert chart
    made = Finding("folder/<tracks>", "TRACKS", rows=3, figures={"hours": "0.1"}, histograms=[chart])
    made.histograms.append(bars("units", {"AU12": 5, "AU4": 2}))
    made.samples = [
        Sample("c1 & c2", ("say <b>it</b>",), load_rig().weights({"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8})),
        Sample("words alone", ("no face",)),
    ]
    made.notes = ["a note"]
    for k in range(300):
        made.wrong(f"problem <{k}>")
    return made


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    page = report.page([finding(), Finding("other", "CLIPS")], "tables & co")
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert "<title>tables &amp; co</title>" in page
    assert "300 problems" in page
    assert "problem &lt;199&gt;" in page
    assert "problem &lt;200&gt;" not in page
    assert "... and 100 more" in page
    assert "say &lt;b&gt;it&lt;/b&gt;" in page
    assert "<b>it" not in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "<script" not in page


def test_faces_are_pictures_and_counts_are_bars() -> None:
    page = report.page([finding()], "t")
    (picture,) = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        assert image.size == (224, 224)
        assert len(np.unique(np.asarray(image.convert("L")))) > 50
    bars_found = re.findall(r'height="([\d.]+)"><title>(AU\d+): (\d+)</title>', page)
    assert [(name, count) for _, name, count in bars_found] == [("AU12", "5"), ("AU4", "2")]
    assert float(bars_found[0][0]) / float(bars_found[1][0]) == 2.5


def test_a_page_about_nothing_wrong_says_so() -> None:
    assert "No problem found" in report.page([Finding("p", "CLIPS")], "t")
