"""Figures of a model that knows, one that guesses and one that is wrong."""

import numpy as np
import torch

from expclip import action_units, retrieval, tead


class Knowing:
    """Texts are looked up; a style vector is the unit vector itself."""

    device = torch.device("cpu")

    def __init__(self, records: list[tead.Record]) -> None:
        self.known = {text: record.vector() for record in records for text in record.texts.values()}
        self.rows = {record.vector().tobytes(): record for record in records}
        self.by_weights = {action_units.to_weights(r.aus).tobytes(): r.vector() for r in records}

    def encode_text(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(np.stack([self.known[text] for text in texts])), torch.ones(len(texts))

    def encode_expression(self, weights_BC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        rows = np.stack([self.by_weights[row.numpy().tobytes()] for row in weights_BC])
        return torch.from_numpy(rows), torch.ones(len(rows))

    def decode_expression(
        self, vector_BD: torch.Tensor, *, presence: float | None = None, confidence: float | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        units = vector_BD * (vector_BD > (presence or 0.0))
        return units, torch.from_numpy(action_units.vector_to_weights(units.numpy()))


def test_a_model_that_knows_scores_full_marks() -> None:
    records = list(tead.load(split="val"))
    found = retrieval.evaluate(Knowing(records), records)
    for kind in tead.KINDS:
        assert found[f"{kind}_au_f1"] == 1
        assert found[f"{kind}_r2_units"] == found[f"{kind}_r2_weights"] == 1
        assert found[f"{kind}_rank"] == 1
        assert found[f"{kind}_sides"] == 1


def test_ranks_count_what_is_closer_in_direction() -> None:
    angle = np.linspace(0, np.pi / 2, 4)
    expressions_ND = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    assert retrieval.ranks(3 * expressions_ND, expressions_ND)["r1"] == 1
    reversed_ND = expressions_ND[::-1].copy()
    found = retrieval.ranks(reversed_ND, expressions_ND)
    assert found["r1"] == 0
    assert found["r5"] == 1
    assert found["rank_all"] == 3


def test_f1_folds_sides_and_needs_intensity() -> None:
    truth = np.stack([action_units.to_vector(e) for e in ({"AU12L": 0.5, "AU4": 0.3}, {"AU1": 0.2})])
    shown = np.stack([action_units.to_vector(e) for e in ({"AU12R": 0.5, "AU4": 0.04}, {"AU1": 0.9, "AU2": 0.1})])
    assert np.isclose(retrieval.unit_f1(truth, shown), 2 * 2 / (3 + 3))


def test_sides_are_right_if_clearly_on_the_side_that_was_asked() -> None:
    asked = [{"AU12L": 0.5, "AU4": 0.3}, {"AU2R": 0.4}, {"AU10L": 0.4}, {"AU14R": 0.4}]
    shown = [{"AU12L": 0.5, "AU4": 0.3}, {"AU2L": 0.4}, {"AU10": 0.4}, {"AU1": 0.4}]
    truth, found = (np.stack([action_units.to_vector(aus) for aus in rows]) for rows in (asked, shown))
    assert np.isclose(retrieval.right_sides(truth, found), 1 / 3)  # left, wrong, both; what is not shown has no side


def test_explained_variance_of_the_mean_is_zero() -> None:
    truth = np.random.default_rng(0).random((5, 3)).astype(np.float32)
    assert abs(retrieval.explained(truth, np.broadcast_to(truth.mean(0), truth.shape))) < 1e-6


def test_gate_is_chosen_by_what_it_shows() -> None:
    records = list(tead.load(split="val"))[:20]
    assert retrieval.best_gate(Knowing(records), records, [(0.9, 0.0), (0.0, 0.0), (0.5, 0.0)]) == (0.0, 0.0)
