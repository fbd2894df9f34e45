"""Searches for signal parameters that nobody has done."""

from shared.contracts.trading import Backtest, Evolution, ParameterSearch, SignalParameters
from tests.support.coordination import BEGIN

BETTER = SignalParameters(take_profit_atr=3.0, stop_loss_atr=2.0, min_confidence=0.54, holding=14)


def parameter_search(
    *,
    adopted: bool = True,
    before: SignalParameters | None = None,
    after: SignalParameters = BETTER,
) -> ParameterSearch:
    return ParameterSearch(
        adopted=adopted,
        note="each trade gives 0.20 % more" if adopted else "30 trades are needed",
        tried=375,
        folds=4,
        folds_better=3,
        before=before or SignalParameters(),
        after=after,
        before_result=Backtest(trades=40, hit_rate=0.5, mean_net_pct=0.1, total_net_pct=4.0),
        after_result=Backtest(trades=50, hit_rate=0.6, mean_net_pct=0.3, total_net_pct=15.0),
    )


def attempt(run_id: str, *, adopted: bool = True, after: SignalParameters = BETTER) -> Evolution:
    search = parameter_search(adopted=adopted, after=after)
    return Evolution(
        at=BEGIN,
        run_id=run_id,
        model_version=f"v-{run_id}",
        adopted=search.adopted,
        note=search.note,
        tried=search.tried,
        folds=search.folds,
        folds_better=search.folds_better,
        before=search.before,
        after=search.after,
        before_result=search.before_result,
        after_result=search.after_result,
    )
