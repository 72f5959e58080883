"""Back from a version that breaks a limit: how long from the breach in the source of figures to the last wrong answer.

    python benchmarks/limit_rollback.py [--rounds 50]

digits, 2 replicas, BlueGreen. Each round brings in a new version and, while it bakes with the old one warm, breaks the
limit on errors in the source: a server of this program that answers as Prometheus does, so that the moment is known to
the millisecond. One window is enough here (`consecutiveBreaches: 1`): what more windows wait for is not the operator's
time. The moment lies anywhere between two samplings, which are a second apart.

visible → written: from that moment to the operator's log line after the API server's answer. decision → written: from
the time in the Service's decision annotation to the same line. last wrong: the last answer of the version that is left,
after the decision, on kept-alive and on new connections. All from one clock.
"""

import json
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

from bench import Bench, arguments, bench, kinds, wait_until
from figures import percentile, spread
from load import Answers, Load

DECISION = "topgraft.dev/decision"
BUDGETS = {"visible → written": 1.5, "decision → written": 0.1, "last wrong, kept-alive": 2.0}
QUERIES = {"requests": 'requests{v="{{version}}"}', "errorRate": 'errors{v="{{version}}"}'}
WINDOW_SECONDS = 5
VERIFICATION = {
    "metrics": {"source": "Prometheus", "queries": QUERIES},
    "limits": {"windowSeconds": WINDOW_SECONDS, "consecutiveBreaches": 1},
}


@dataclass
class Source:
    """What the player of Prometheus says: 1,000 requests of each version, half of them failed for `bad`."""

    bad: str = ""
    asked: set[str] = field(default_factory=set)
    url: str = ""

    def answer(self, query: str) -> str:
        version = query.partition('"')[2].rpartition('"')[0]
        self.asked.add(version)
        value = 1000.0 if query.startswith("requests") else 0.5 if version == self.bad else 0.0
        result = [{"metric": {}, "value": [time.time(), str(value)]}]
        return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}})


@contextmanager
def source() -> Iterator[Source]:
    """The player of Prometheus, on a free port of loopback."""
    told = Source()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            body = told.answer(form["query"][0]).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    told.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield told
    finally:
        server.shutdown()


def decision(place: Bench) -> dict[str, str]:
    service = place.api.get(kinds.SERVICE, place.namespace, "digits")
    return dict(json.loads(service["metadata"]["annotations"][DECISION]))


def timestamp(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def logged(place: Bench, after: float) -> float | None:
    """When the operator logged the switch that it decided at `after`."""
    for line in reversed((place.folder / "operator.log").read_text().splitlines()):
        entry = json.loads(line) if line.startswith("{") else {}
        if entry.get("action") == "switch":
            at = timestamp(entry["ts"])
            return at if at >= after - 0.001 else None  # the log has milliseconds, the decision microseconds
    return None


def only(answers: Answers, version: str) -> bool:
    return {answer.version for answer in answers[-60:]} == {version}


def one_round(place: Bench, told: Source, load: Load, number: int) -> dict[str, float]:
    """Bring in a version, break its limit, and measure; seconds."""
    old = decision(place)["to"]
    place.upgrade(place.image("v2"), {"ROUND": str(number)})
    switched = wait_until(
        lambda: (d := decision(place))["direction"] == "Forward" and d["to"] != old and d, 180, "the switch", every=0.05
    )
    new, since = dict(switched or {})["to"], timestamp(dict(switched or {})["time"])
    load.wait(lambda answers: only(answers, new), 30, f"only {new} answering")
    wait_until(lambda: new in told.asked, 30, f"the figures of {new} are asked for")
    # A window that reaches back before the switch is not judged: the breach comes after the first that does not.
    time.sleep(max(0.0, since + WINDOW_SECONDS + 1 - time.time()) + random.random())
    visible, told.bad = time.time(), new
    back = wait_until(lambda: (d := decision(place))["direction"] == "Back" and d, 30, "the way back", every=0.02)
    decided = timestamp(dict(back or {})["time"])
    written = wait_until(lambda: logged(place, decided), 10, "the log line of the switch") or 0.0
    load.wait(lambda answers: only(answers, old), 30, f"only {old} answering")
    time.sleep(1)
    told.bad = ""
    reason = dict(back or {})["reason"]
    if reason != "ErrorsIncreased":
        sys.exit(f"round {number}: it went back for another reason: {reason}")
    wrong = [(answer.at, answer.kept) for answer in load.answers if answer.version == new]
    return {
        "visible → written": written - visible,
        "decision → written": written - decided,
        "last wrong, kept-alive": max((at for at, kept in wrong if kept), default=decided) - decided,
        "last wrong, new": max((at for at, kept in wrong if not kept), default=decided) - decided,
    }


def main() -> int:
    options = arguments(__doc__ or "", rounds=50)
    rounds, failed, total = [], 0, 0
    with source() as told, bench("limit", adapters=("v1", "v2")) as place, place.operator("--prometheus", told.url):
        place.digits(bake=3600, standby=30)
        place.api.merge(kinds.MODEL, place.namespace, "digits", {"spec": {"verification": VERIFICATION}})
        for number in range(options.rounds):
            # A load of its own for each round: one ends by itself after a quarter of an hour.
            with Load.from_here(place.url(), place.request(), clients=8, rate=200) as load:
                rounds.append(one_round(place, told, load, number))
                failed, total = failed + len(load.answers.failures), total + len(load.answers)
            print(number, {name: round(value, 3) for name, value in rounds[-1].items()}, flush=True)
    kept = True
    print(f"{len(rounds)} rounds, milliseconds")
    for name in rounds[0]:
        values = [one[name] for one in rounds]
        budget = BUDGETS.get(name)
        told_budget = f"  (budget {budget * 1000:.0f} ms)" if budget else ""
        print(f"{name:24} {spread([value * 1000 for value in values], 'ms', 1)}{told_budget}")
        kept = kept and (budget is None or percentile(values, 99) < budget)
    print(f"requests failed: {failed} of {total}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
