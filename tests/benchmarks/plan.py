"""How much is measured."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The defaults are those of `make bench`; a smaller plan shows that a benchmark runs.

    `daily_rows` and `quarter_rows` are the windows that jobs learn from, of daily and of
    quarter-hourly candles, with up to `rounds` boosting rounds. `turns` is how often each pair is
    repeated; `slow_symbols` how many symbols the loop that is slow on purpose trains, and `exams`
    how many windows of daily candles its models are compared on with ours; `jobs` how many are
    trained one after another to see whether memory grows; `messages` how many go over the
    bus per turn; `cold` how many symbols are served from cold, or decided on at a tick. Websockets
    are `sockets` or, where it is about many, a `crowd` of them, and callers of the HTTP API ask for
    `seconds` a turn; the gateway is frozen so many times (`freezes`).

    Questions about trading on paper are asked of so many `rejections`, and of as many trades.

    Scores are shown to be true on `true_symbols` symbols of `true_rows` candles that foretell
    nothing, and on `signal_symbols` of `signal_rows` that do. Signal parameters are searched for in
    so many `walks`, and where as many edges are planted.

    A whole run is over `symbols` symbols of `timeframe`, each with a window of `rows`.
    """

    candles: Path | None = None
    daily_rows: int = 730
    quarter_rows: int = 17_000
    rounds: int = 200
    slow_rounds: int = 300
    turns: int = 5
    slow_symbols: int = 2
    exams: int = 20
    jobs: int = 20
    messages: int = 300
    cold: int = 545
    sockets: int = 1000
    crowd: int = 10_000
    seconds: int = 3
    freezes: int = 5
    lease_ttl_s: int = 15
    rejections: int = 100_000
    true_symbols: int = 50
    true_rows: int = 6000
    signal_symbols: int = 4
    signal_rows: int = 17_000
    walks: int = 200
    symbols: int = 505
    timeframe: str = "1d"
    rows: int = 730
