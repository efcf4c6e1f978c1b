"""The cluster of a job: what is asked of it, what is told before it starts, when it ends."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from expclip.errors import BadRequestError
from ray_jobs import cluster
from ray_jobs.cluster import Resources


class FakeRay(SimpleNamespace):
    """Counts how often it was started and ended."""

    def __init__(self) -> None:
        super().__init__(starts=0, ends=0, running=False)

    def is_initialized(self) -> bool:
        return bool(self.running)

    def init(self, **settings: Any) -> None:
        self.starts, self.running = self.starts + 1, True

    def shutdown(self) -> None:
        self.ends, self.running = self.ends + 1, False


@pytest.fixture
def fake_ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    data = SimpleNamespace()
    fake.data = data
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setitem(sys.modules, "ray.data", data)
    return fake


def test_a_table_of_its_own_ends_the_cluster(fake_ray: FakeRay) -> None:
    for turn in (1, 2):
        with cluster.connected(Resources()) as ray:
            assert ray.is_initialized()
        assert (fake_ray.starts, fake_ray.ends) == (turn, turn)


def test_a_cluster_that_is_kept_serves_all_tables(fake_ray: FakeRay) -> None:
    told = []
    with cluster.kept(), cluster.kept():
        assert fake_ray.starts == 0  # it starts when it is needed
        for _ in range(2):
            told.append(cluster.starting(Resources()))
            with cluster.connected(Resources()):
                pass
        assert (fake_ray.starts, fake_ray.ends) == (1, 0)
    assert (fake_ray.starts, fake_ray.ends) == (1, 1)
    assert told == ["starting Ray on this machine, which takes some seconds", ""]
    with cluster.connected(Resources()):
        pass
    assert fake_ray.ends == 2


def test_a_cluster_ends_whatever_goes_wrong(fake_ray: FakeRay) -> None:
    def fail() -> None:
        with cluster.kept(), cluster.connected(Resources()):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (fake_ray.starts, fake_ray.ends) == (1, 1)
    assert cluster._KEPT == []


def test_an_address_is_told(fake_ray: FakeRay) -> None:
    assert cluster.starting(Resources(address="head:6379")) == "joining Ray at head:6379"


@pytest.mark.parametrize(
    ("wrong", "valid"),
    [
        ({"workers": -1}, "resources.workers is -1; valid: 0 and more"),
        ({"block_rows": 0}, "resources.block_rows is 0; valid: 1 and more"),
        ({"cpus": float("nan")}, "resources.cpus is nan; valid: 0.01 and more"),
    ],
)
def test_resources_that_make_no_sense_are_refused(wrong: dict[str, Any], valid: str) -> None:
    with pytest.raises(BadRequestError, match=valid):
        Resources(**wrong)
