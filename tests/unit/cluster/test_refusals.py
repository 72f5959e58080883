import pytest
from topgraft.cluster import refusals
from topgraft.cluster.refusals import LONGEST_WAIT, Refusals

KEY = ("ns", "m")


def test_a_refusal_is_told_until_it_is_taken_back_and_tried_ever_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [0.0]
    monkeypatch.setattr(refusals, "elapsed", lambda: seconds[0])
    memory = Refusals()
    assert memory.next_due(KEY) is None
    waits = []
    for number in range(12):
        assert memory.add(KEY, "Pod/p", "exceeded quota") == (number == 0)
        assert memory.due(KEY) == []
        wait = memory.next_due(KEY)
        assert wait is not None
        waits.append(wait)
        seconds[0] += wait
        assert memory.due(KEY) == ["Pod/p"]
        assert memory.texts(KEY) == {"Pod/p": "exceeded quota"}
    assert waits[0] <= 1.0
    assert LONGEST_WAIT / 2 <= waits[-1] <= LONGEST_WAIT
    memory.drop(KEY, "Pod/p")
    assert memory.texts(KEY) == {}
    assert memory.next_due(KEY) is None
