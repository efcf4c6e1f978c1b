"""Losses: zero or lowest where the model is right, and blind to what they must not see."""

import torch

from expclip import losses


def test_soft_targets_follow_likeness_and_join_neutral_faces() -> None:
    units_BU = torch.tensor([[0.5, 0.5, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.7], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    target_BB = losses.soft_targets(units_BU)
    assert torch.allclose(target_BB.sum(1), torch.ones(5))
    assert torch.allclose(target_BB[0, 0], target_BB[0, 1])  # intensity is not direction
    assert target_BB[0, 0] > 100 * target_BB[0, 2]
    assert torch.allclose(target_BB[3, 3], target_BB[3, 4])


def test_alignment_is_lowest_where_pairs_agree() -> None:
    embedding_BD = torch.eye(4)
    target = torch.eye(4)
    temperature = torch.tensor(-3.0)
    right = losses.alignment(embedding_BD, embedding_BD, target, log_temperature=temperature)
    wrong = losses.alignment(embedding_BD, embedding_BD.flip(0), target, log_temperature=temperature)
    assert right < 1e-3
    assert wrong > 10


def test_presence_and_strength() -> None:
    units_BU = torch.tensor([[0.4, 0.0], [0.0, 0.0]])
    sure = torch.tensor([[20.0, -20.0], [-20.0, -20.0]])
    assert losses.presence(sure, units_BU) < 1e-6
    assert losses.presence(-sure, units_BU) > 20
    assert losses.strength(torch.tensor([0.4, 0.0]), units_BU) == 0


def test_intensity_is_relative_and_sees_active_units_only() -> None:
    units_BU = torch.tensor([[0.4, 0.2, 0.0]])
    assert losses.intensity(torch.tensor([[1.0, 0.5, 0.9]]), units_BU) < 1e-12
    assert torch.isclose(losses.intensity(torch.tensor([[0.0, 0.5, 0.0]]), units_BU), torch.tensor(0.5))
    assert losses.intensity(torch.zeros(1, 3), torch.zeros(1, 3)) == 0


def test_affect_counts_known_records_only_and_keeps_the_graph() -> None:
    logits_BN = torch.zeros(3, 11, requires_grad=True)
    categories, circumplex = torch.tensor([0, 1, 2]), torch.full((3, 2), 0.9)
    nothing = losses.affect(logits_BN, categories, circumplex, torch.tensor([False] * 3))
    nothing.backward()
    assert nothing == 0
    one = losses.affect(logits_BN, categories, circumplex, torch.tensor([False, True, False]))
    one.backward()
    assert one > 0
    assert logits_BN.grad is not None
    assert logits_BN.grad[[0, 2]].abs().sum() == 0
    assert logits_BN.grad[1].abs().sum() > 0


def test_expected_error_weighs_by_probability() -> None:
    units_BU = torch.tensor([[0.5, 0.0]])
    sure = torch.tensor([[30.0, -30.0]])
    assert losses.expected(sure, torch.ones(1, 2), torch.tensor([0.5]), units_BU) < 1e-9
    unsure = losses.expected(torch.zeros(1, 2), torch.ones(1, 2), torch.tensor([0.5]), units_BU)
    assert torch.isclose(unsure, torch.tensor(2 * 0.25**2))
