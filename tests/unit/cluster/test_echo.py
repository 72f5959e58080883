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
    echoes.expect("a", 5)
    time[0] = PATIENCE
    echoes.heard("a", 5)
    time[0] = 10 * PATIENCE
    assert not echoes.silent()


def test_a_watch_that_never_returns_it_is_dead(time: list[float]) -> None:
    echoes = Echoes()
    echoes.expect("a", 5)
    time[0] = PATIENCE - 1
    echoes.expect("a", 9)
    assert not echoes.silent()
    time[0] = PATIENCE + 1
    assert echoes.silent(), "a later write to the same object is no sign of life"


def test_a_deletion_settles_what_was_owed(time: list[float]) -> None:
    echoes = Echoes()
    echoes.expect("a", 5)
    echoes.gone("a")
    time[0] = 10 * PATIENCE
    assert not echoes.silent()


def test_a_watch_that_lags_behind_is_alive(time: list[float]) -> None:
    echoes = Echoes()
    echoes.expect("a", 9)
    time[0] = PATIENCE - 1
    echoes.heard("a", 7)
    time[0] = PATIENCE + 1
    assert not echoes.silent()
    assert echoes.oldest() == 2
