"""What has become of the market that the models have learned, asked and shown."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rich.console import Console

from evertrain.output import moment, table
from shared.bus import rpc
from shared.bus.connection import Connection
from shared.contracts.quality import DriftFinding, DriftReport
from shared.contracts.requests import CheckDriftRequest, DriftReportRequest
from shared.contracts.symbols import Symbol

#: Every symbol is measured in a child process of a trainer.
_CHECKED_WITHIN_S: Final = 1800.0


async def newest(connection: Connection) -> DriftReport:
    """Raises NotFound: nobody has looked yet; Unavailable."""
    question = DriftReportRequest()
    return await rpc.ask(connection, "evertrain.scheduler.drift", question, DriftReport)


async def check(connection: Connection, request: CheckDriftRequest) -> DriftReport:
    """Raises UnknownSymbol: what the scheduler says; Unavailable."""
    return await rpc.ask(
        connection,
        "evertrain.scheduler.check_drift",
        request,
        DriftReport,
        timeout=_CHECKED_WITHIN_S,
    )


def limited(report: DriftReport, symbols: Sequence[Symbol] | None) -> DriftReport:
    """What it found of these symbols; of all with None."""
    if symbols is None:
        return report
    return replace(report, findings=tuple(f for f in report.findings if f.symbol in symbols))


def show_report(report: DriftReport, out: Console) -> None:
    out.print(
        f"{report.drifted} of {report.symbols} symbols have drifted, as of {moment(report.at)}; "
        f"without any drift, {100 * report.false_alarms:g} % of such checks would name one"
    )
    if report.findings:
        columns = ("Symbol", "Drifted", "Features p", "Outcomes p", "Moved most", "Note", "Run")
        rows = (
            (
                finding.symbol,
                "yes" if finding.drifted else "no",
                _p_value(finding.feature_p_value),
                _p_value(finding.outcome_p_value),
                _moved(finding),
                finding.note,
                finding.training_run_id,
            )
            for finding in report.findings
        )
        out.print(table(*columns, rows=rows, numbers=("Features p", "Outcomes p")))


def _p_value(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def _moved(finding: DriftFinding) -> str:
    return ", ".join(f"{f.feature} (PSI {f.psi:.2f})" for f in finding.features[:2]) or "-"
