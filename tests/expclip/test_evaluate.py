"""The whole evaluation on tiny random models: what is in the report, that it is the same again, and the page of it."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from expclip import actor as actors
from expclip import definitions, evaluate, evaluate_motion, evaluate_page, evaluate_texts, held, mesh, storage
from expclip.animator import Animator
from expclip.asks import Ask
from expclip.checkpoint import save
from expclip.errors import BadRequestError
from expclip.evaluate import Options
from expclip.evaluator import EMOTIONS, Evaluator, EvaluatorConfig
from expclip.faceformer import FaceFormer, FaceFormerConfig
from expclip.generator import Generator, GeneratorConfig
from expclip.model import ExpCLIP, ExpCLIPConfig
from expclip.rig import load_rig

RIG = load_rig()
RIVALS = ("mean_face", "mean_clip", "loudness")


@pytest.fixture(scope="module")
def animator(tiny_bert: str) -> Animator:
    torch.manual_seed(0)
    expclip = ExpCLIP(ExpCLIPConfig(tower=tiny_bert, embedding=8, hidden=8, lora_rank=0))
    return Animator(expclip, Generator(GeneratorConfig(width=16, encoder_blocks=3, blocks=2, style=8)), digest="tiny")


@pytest.fixture(scope="module")
def options(face_corpus: str, few_records: str, tiny_bert: str, tmp_path_factory: pytest.TempPathFactory) -> Options:
    folder = str(tmp_path_factory.mktemp("judge"))
    torch.manual_seed(1)
    save(folder, {"evaluator": Evaluator(EvaluatorConfig(tower=tiny_bert, hidden=8, embedding=4)).to_part()}, {})
    rival = str(tmp_path_factory.mktemp("rival"))
    save(rival, {"faceformer": FaceFormer(FaceFormerConfig(width=8, layers=1, heads=2, context=10)).to_part()}, {})
    return Options([face_corpus], limit=2, texts=4, tead=few_records, judge=folder, baseline=rival)


@pytest.fixture(scope="module")
def report(animator: Animator, options: Options) -> dict[str, Any]:
    return evaluate.evaluate(animator, options)


def test_the_report_has_its_parts_and_is_json(report: dict[str, Any]) -> None:
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    toy = report["corpora"]["toy"]
    assert (toy["clips"], toy["speakers"], toy["with a measured face"]) == (2, 2, 2)
    assert toy["measured channels"] == ["jawOpen", "browInnerUp"]
    assert list(toy["truth"]) == ["neutral", "acted"]
    assert list(toy["truth"]["neutral"]) == ["model", "faceformer", *RIVALS, "truth"]
    acted = ["model", "audio_only", "label", "faceformer", *RIVALS, "truth"]
    assert list(toy["truth"]["acted"]) == acted
    model = toy["truth"]["neutral"]["model"]
    names = {"MBE", "LBE", "MLE", "EIE", "FRD", "LVE", "LVE-sq", "EVE", "MVE", "FDD", "FDD-abs", "MOD", "jitter"}
    assert names <= set(model)
    assert model["LVE-sq"]["value"] >= model["LVE"]["value"] ** 2
    assert list(toy["emotions"]) == ["neutral", *(e for e in EMOTIONS if e != "neutral")]
    assert {"closure_recall", "closure_precision", "offset_ms", "SLCC"} <= set(toy["emotions"]["anger"])
    assert toy["emotions"]["neutral"].keys().isdisjoint({"change.LVE", "MOD_from_neutral"})
    assert {"change.LVE", "change.closure_recall", "MOD_from_neutral"} <= set(toy["emotions"]["anger"])
    assert toy["intensity"]["difference_at_0"]["value"] == 0
    assert report["about"]["meshes"]["own head"]["lip mask"] == 595


def test_prompts_have_ceiling_floor_and_units(report: dict[str, Any]) -> None:
    groups = report["prompts"]
    sources = {name: list(group["sources"]) for name, group in groups.items()}
    assert sources["tead prompt"] == ["model", "label", "audio_only", "faceformer", "truth", "shuffled"]
    assert sources["open vocabulary"] == ["model", "label", "audio_only", "faceformer", "shuffled"]
    assert groups["tead tag"]["sources"]["truth"]["FID"]["value"] == pytest.approx(0, abs=1e-3)
    assert np.sum(groups["open vocabulary"]["confusion"]["counts"]) == groups["open vocabulary"]["prompts"] == 42
    assert list(groups["tead description"]["units"]) == ["model", "label", "truth"]
    assert groups["tead description"]["units"]["truth"]["au_precision"]["value"] == 1
    assert set(report["robustness"]["cosine"]) == set(EMOTIONS)


def test_every_figure_is_defined(report: dict[str, Any]) -> None:
    rows = evaluate.rows(report)
    assert len(rows) > 200
    # the last name is a figure's, or an emotion's of the figure before it
    last = {part for name, _ in rows if not name.startswith("retrieval") for part in [_figure(name)]}
    assert {name for name in last if definitions.of(name) is None} == set()
    told = evaluate.table(report)
    assert len(told.splitlines()) == len(rows)
    assert "corpora / toy / truth / neutral / model / LVE " in told


def _figure(name: str) -> str:
    parts = name.split(" / ")
    return parts[-2] if parts[-1] in EMOTIONS else parts[-1]


def test_the_same_options_give_the_same_report(animator: Animator, options: Options, report: dict[str, Any]) -> None:
    again = Animator(animator.expclip, animator.generator, digest="tiny")
    assert evaluate.evaluate(again, options) == report


class _Tags(HTMLParser):
    void = frozenset(("meta", "img", "rect", "line", "path"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_else(report: dict[str, Any], tmp_path: Path) -> None:
    few = {**report, "faces": report["faces"][:2]}
    evaluate.write_report(str(tmp_path / "r.html"), few)
    page = (tmp_path / "r.html").read_text("utf-8")
    tags = _Tags()
    tags.feed(page)
    assert tags.open == []
    assert page.count("data:image/png") == 2
    assert page.count("<svg") > 20
    assert "nan" not in re.sub(r"base64,[^\"]+", "", page)
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "<script" not in page
    for name in ("toy", "tead prompt", "LVE [mm]", "closure_recall", "What the names mean"):
        assert name in page
    evaluate.write_report(str(tmp_path / "r.json"), few)
    assert evaluate_page.page(json.loads(storage.read_text(str(tmp_path / "r.json")))) == page


def test_a_prompt_is_told_as_text(report: dict[str, Any]) -> None:
    faces = [{"prompt": "<b>bold & brave", "weights": RIG.zeros().tolist()}]
    page = evaluate_page.page({**report, "faces": faces})
    assert "&lt;b&gt;bold &amp; brave" in page
    assert "<b>" not in page


def test_the_truth_itself_scores_best(animator: Animator, face_corpus: str) -> None:
    clip = held.load(face_corpus, limit=1).clips[0]
    assert clip.truth_TC is not None
    found = evaluate_motion.reduced([evaluate_motion.compare(clip, clip.truth_TC, [mesh.own()])], 0)
    for name in ("MBE", "LBE", "MLE", "EIE", "FRD", "LVE", "LVE-sq", "EVE", "MVE", "FDD", "MOD", "MTM"):
        assert found[name].value == 0
    assert found["r.jawOpen"].value == pytest.approx(1)
    assert found["jawOpen.lag_ms"].value == 0
    late = evaluate_motion.compare(clip, np.roll(clip.truth_TC, 2, axis=0), [mesh.own()])
    assert late["jawOpen.lag_ms"][0] == pytest.approx(2000 / 30)
    assert late["MTM"][0] / late["MTM"][1] == pytest.approx(2000 / 30, abs=20)


def test_a_face_is_animated_once_and_the_nearest_category_is_the_label(animator: Animator, face_corpus: str) -> None:
    clip, actor = held.load(face_corpus, limit=1).clips[0], actors.Actor(animator)
    first = actor.face(clip, actor.style("happy"))
    assert actor.face(clip, actor.style("happy")) is first
    assert actor.face(clip, actor.style("happy").scaled(0)) is actor.face(clip, actor.zero)
    for name, style in actor.categories.items():
        assert actor.label(style).vector_D.tolist() == pytest.approx(actor.categories[name].vector_D.tolist(), abs=1e-5)


def test_mixed_emotions_are_not_classified() -> None:
    asked = [Ask("a", "happiness"), Ask("b", "mixed"), Ask("c", "anger")]
    found = evaluate_texts.recognised(asked, ["happiness", "happiness", "fear"], 0)
    assert (found["emotion_accuracy"].value, found["emotion_f1"].value) == (0.5, 0.5)
    assert evaluate_texts.recognised(asked[1:2], ["fear"], 0) == {}


def test_unit_scores_by_hand() -> None:
    pairs = [({"AU12", "AU6"}, {"AU12"}), ({"AU4"}, {"AU4", "AU9"})]
    scores = evaluate_texts.unit_scores(pairs, 0)
    assert [scores[name].value for name in ("au_precision", "au_recall", "au_f1")] == pytest.approx([2 / 3] * 3)
    table = evaluate_texts.by_unit(pairs)
    assert list(table) == ["AU4", "AU6", "AU9", "AU12"]
    assert table["AU6"]["recall"] == 0
    assert np.isnan(table["AU9"]["recall"])
    assert table["AU12"] == {"named": 1, "precision": 1, "recall": 1, "f1": 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folders": []}, "no clips to evaluate on"),
        ({"folders": ["nowhere"]}, "no .parquet file in nowhere/clips"),
        ({"folders": ["a/x", "b/x"]}, "two folders of one name: x, x"),
        ({"limit": 0}, "limit 0 is less than 1"),
        ({"texts": -1}, "texts -1 is less than 0"),
        ({"split": "val"}, "holds no clip of the val split"),
        ({"ict": "nowhere"}, "nowhere is no ICT-FaceKit"),
        ({"judge": "nowhere"}, "no such checkpoint: nowhere"),
    ],
)
def test_bad_options_are_refused(animator: Animator, options: Options, change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRequestError, match=re.escape(message)):
        evaluate.evaluate(animator, Options(**{**vars(options), **change}))
