"""Review: agreement, copies within a record and between records; by a tiny ExpCLIP, and by the one that ships."""

import dataclasses

import numpy as np
import pytest
import torch

from expclip import review, tead
from expclip.model import ExpCLIP, ExpCLIPConfig
from expclip.review import Judge, ReviewOptions

RECORD = tead.load(split="train")[0]


@pytest.fixture(scope="module")
def tiny(tiny_bert: str) -> ExpCLIP:
    torch.manual_seed(0)
    return ExpCLIP(ExpCLIPConfig(tower=tiny_bert, embedding=8, hidden=8, lora_rank=0)).eval()


def record(**texts: str) -> tead.Record:
    return dataclasses.replace(RECORD, texts={**RECORD.texts, **texts})


def test_texts_of_a_record_must_differ(tiny: ExpCLIP) -> None:
    told = record(prompt="happy a smile", situation="very happy smile happy", description="sad very")
    judge = Judge(tiny, ReviewOptions(quality=-1, alike=0.9999))
    assert judge.verdict(told).problem == ""
    same = dataclasses.replace(told, texts={**told.texts, "situation": "happy a smile"})
    assert judge.verdict(same).problem == "prompt says the same as situation"


def test_texts_of_examples_must_not_come_back(tiny: ExpCLIP) -> None:
    told = record(prompt="happy a smile", situation="very happy smile happy", description="sad very")
    example = record(prompt="sad", situation="happy happy very smile", description="a")
    close = float(
        np.dot(*(Judge(tiny, ReviewOptions())._features([told.texts["situation"], example.texts["situation"]])))
    )
    verdict = Judge(tiny, ReviewOptions(quality=-1, alike=close - 1e-4)).verdict(told, [example])
    assert "situation is an example's: 'happy happy very smile'" in verdict.problem


def test_disagreement_is_a_problem_and_neutral_faces_are_not_judged(tiny: ExpCLIP) -> None:
    told = record(prompt="happy a smile", situation="very happy smile happy", description="sad very")
    verdict = Judge(tiny, ReviewOptions(quality=1.0, alike=2)).verdict(told)
    assert -1 <= verdict.quality < 1
    assert "texts and expression do not agree" in verdict.problem
    neutral = Judge(tiny, ReviewOptions(quality=1.0, alike=2)).verdict(dataclasses.replace(told, aus={}))
    assert np.isnan(neutral.quality)
    assert neutral.problem == ""


def test_signatures_tell_angles() -> None:
    random = np.random.default_rng(1)
    first = random.standard_normal(384)
    other = random.standard_normal(384)
    other -= first * (other @ first) / (first @ first)
    first, other = first / np.linalg.norm(first), other / np.linalg.norm(other)
    for cosine in (1.0, 0.97, 0.9, 0.5, 0.0):
        near = (cosine * first + np.sqrt(1 - cosine**2) * other).astype(np.float32)
        one, two = (np.frombuffer(review.signature([v.astype(np.float32)]), np.uint8) for v in (first, near))
        share = np.unpackbits(one ^ two).mean()
        assert np.cos(np.pi * share) == pytest.approx(cosine, abs=0.09)


@pytest.mark.model
def test_the_model_that_ships_tells_fitting_texts_from_others() -> None:
    records = tead.load(split="test")[:24]
    judge = Judge(review.load_model(), ReviewOptions())
    own = [judge.verdict(one) for one in records]
    turned = [
        judge.verdict(dataclasses.replace(one, aus=other.aus))
        for one, other in zip(records, records[12:] + records[:12], strict=True)
    ]
    assert sum(not verdict.problem for verdict in own) >= 23
    assert sum(bool(verdict.problem) for verdict in turned) >= 11
    assert np.median([v.quality for v in own]) > 0.35 > 0.25 > np.median([v.quality for v in turned])
