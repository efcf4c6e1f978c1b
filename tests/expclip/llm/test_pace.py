"""Pace on a clock of the test's own."""

import asyncio

from expclip.llm.pace import Pace


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def turns(pace: Pace, clock: Clock, count: int, tokens: int = 0) -> list[float]:
    async def run() -> list[float]:
        times = []
        for _ in range(count):
            await pace.turn(tokens)
            times.append(round(clock.now - 100, 6))
        return times

    return asyncio.run(run())


def test_without_limits_nobody_waits() -> None:
    clock = Clock()
    assert turns(Pace(clock=clock, sleep=clock.sleep), clock, 5, 1000) == [0] * 5


def test_requests_are_spread_evenly() -> None:
    clock = Clock()
    assert turns(Pace(120, clock=clock, sleep=clock.sleep), clock, 4) == [0, 0.5, 1, 1.5]


def test_tokens_are_spread_and_guesses_corrected() -> None:
    clock = Clock()
    pace = Pace(0, 6000, clock=clock, sleep=clock.sleep)
    assert turns(pace, clock, 3, 200) == [0, 2, 4]
    pace.spent(200, 100)
    assert turns(pace, clock, 1, 200) == [5]


def test_time_that_nobody_used_is_not_saved_up() -> None:
    clock = Clock()
    pace = Pace(60, clock=clock, sleep=clock.sleep)
    turns(pace, clock, 1)
    clock.now += 50
    assert turns(pace, clock, 3) == [50, 51, 52]


def test_a_pause_stops_all() -> None:
    clock = Clock()
    pace = Pace(clock=clock, sleep=clock.sleep)
    pace.pause(7)
    pace.pause(3)
    assert turns(pace, clock, 2) == [7, 7]
