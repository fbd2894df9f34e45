import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.contracts.errors import InvalidSymbol
from shared.contracts.symbols import Symbol

GRAMMAR = r"[A-Z0-9][A-Z0-9./:-]{0,31}"
symbols = st.from_regex(GRAMMAR, fullmatch=True)
near_misses = st.text(
    alphabet=string.ascii_uppercase + string.digits + "./:-_ a*>=\n\0", max_size=34
)

HOSTILE = {
    "nothing": "",
    "wildcard": "*",
    "full wildcard": ">",
    "a wildcard inside": "BTC.*",
    "lower case": "btc/usdt",
    "mixed case": "BTC/USDt",
    "space": "BTC USDT",
    "leading space": " BTC",
    "trailing newline": "BTC/USDT\n",
    "carriage return and line feed": "BTC\r\nPUB x 0\r\n",
    "tab": "BTC\tUSDT",
    "NUL": "BTC\0USDT",
    "parent directory": "../ETC/PASSWD",
    "leading dot": ".BTC",
    "leading slash": "/BTC",
    "percent-encoded dot": "%2e%2e",
    "percent-encoded slash": "BTC%2FUSDT",
    "the escape of a token": "THYAO=2EIS",
    "the slash of a path": "BTC_USDT",
    "quote": 'BTC"',
    "backslash": "BTC\\USDT",
    "a query": "BTC?X=1",
    "right-to-left override": "\u202eCTB",
    "Cyrillic look-alike": "\u0412\u0422\u0421",
    "full-width look-alike": "\uff22\uff34\uff23",
    "Arabic digits": "\u0661\u0662",
    "a letter that grows when capitalised": "\u00df",
    "zero-width space": "BTC\u200b",
    "lone surrogate": "BTC\ud800",
    "33 characters": "A" * 33,
    "a megabyte": "A" * (1 << 20),
}


@given(st.text() | near_misses | symbols)
@example("A" * 32)
@example("A/../../B")
def test_what_the_grammar_takes_is_a_symbol_and_nothing_else_is(text: str) -> None:
    if re.fullmatch(GRAMMAR, text, re.ASCII):
        assert Symbol(text) == text
    else:
        with pytest.raises(InvalidSymbol):
            Symbol(text)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_text_is_no_symbol_token_or_path(text: str) -> None:
    with pytest.raises(InvalidSymbol) as refused:
        Symbol(text)
    message = str(refused.value)
    assert message.isprintable()
    assert len(message) < 400
    if "_" not in text and "=" not in text:
        for inverse in (Symbol.from_token, Symbol.from_path):
            with pytest.raises(InvalidSymbol):
                inverse(text)


@pytest.mark.parametrize(
    ("text", "token", "path"),
    [
        ("BTC/USDT", "BTC_USDT", "BTC_USDT"),
        ("THYAO.IS", "THYAO=2EIS", "THYAO.IS"),
        ("BRK-B", "BRK-B", "BRK-B"),
        ("BTC/USDT:USDT", "BTC_USDT=3AUSDT", "BTC_USDT:USDT"),
    ],
)
def test_the_contract_fixes_how_a_symbol_is_spelled(text: str, token: str, path: str) -> None:
    assert Symbol(text).token == token
    assert Symbol(text).path == path


@given(symbols)
def test_token_and_path_lead_back_to_the_symbol(text: str) -> None:
    symbol = Symbol(text)
    assert Symbol.from_token(symbol.token) == symbol
    assert Symbol.from_path(symbol.path) == symbol
    assert Symbol.from_path(symbol) == symbol


@given(symbols, symbols)
def test_two_symbols_never_share_a_token_or_a_path(one: str, other: str) -> None:
    same = one == other
    assert (Symbol(one).token == Symbol(other).token) is same
    assert (Symbol(one).path == Symbol(other).path) is same


@given(st.text(alphabet=string.ascii_uppercase + string.digits + "_=-./:", max_size=40))
@example("THYAO=2eIS")
@example("BTC=2FUSDT")
@example("A=41")
@example("BTC/USDT")
@example("THYAO.IS")
def test_a_token_is_accepted_only_in_the_one_spelling_that_we_write(token: str) -> None:
    try:
        symbol = Symbol.from_token(token)
    except InvalidSymbol:
        return
    assert symbol.token == token


@given(symbols)
def test_a_token_is_safe_as_one_token_of_a_subject_and_as_a_file_name(text: str) -> None:
    assert re.fullmatch(r"[A-Z0-9_=-]+", Symbol(text).token)
