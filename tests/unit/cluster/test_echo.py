import pytest
from topgraft.cluster import echo
from topgraft.cluster.echo import PATIENCE, Echoes


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds = [0.0]
    monkeypatch.setattr(echo, "elapsed", lambda: seconds[0])
    return seconds


def test_a_watch_that_returns_what_was_written_is_alive(time: list[float]) -> None:
    echoes = Echoes()
    echoes.expect("pods", 5)
    time[0] = PATIENCE
    echoes.heard("pods", 5)
    time[0] = 10 * PATIENCE
    assert not echoes.dead()


def test_a_watch_that_never_returns_it_is_dead(time: list[float]) -> None:
    echoes = Echoes()
    echoes.expect("pods", 5)
    time[0] = PATIENCE - 1
    echoes.expect("pods", 9)
    assert not echoes.dead()
    time[0] = PATIENCE + 1
    assert echoes.dead(), "a later write is no sign of life"


def test_another_watch_is_no_sign_of_life(time: list[float]) -> None:
    echoes = Echoes()
    echoes.expect("pods", 5)
    time[0] = PATIENCE + 1
    echoes.heard("services", 9)
    assert echoes.dead()


def test_a_watch_that_lags_behind_is_alive(time: list[float]) -> None:
    echoes = Echoes()
    echoes.expect("pods", 9)
    time[0] = PATIENCE - 1
    echoes.heard("pods", 7)
    time[0] = PATIENCE + 1
    assert not echoes.dead()
    assert echoes.silence() == 2


def test_what_the_watch_skipped_is_not_owed_for_ever(time: list[float]) -> None:
    echoes = Echoes()
    echoes.expect("pods", 5)
    echoes.heard("pods", 8)
    time[0] = 10 * PATIENCE
    assert not echoes.dead()


def test_a_watch_that_owes_nothing_may_be_silent_for_ever(time: list[float]) -> None:
    echoes = Echoes()
    echoes.heard("pods", 8)
    time[0] = 10 * PATIENCE
    assert not echoes.dead()
    assert echoes.silence() == 0
