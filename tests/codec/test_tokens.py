"""Token numbers come out whole, however the text is cut."""

import pytest

from tts_engine.codec.tokens import TokenParser


def parse(*pieces: str) -> list[int]:
    parser = TokenParser()
    return [token for piece in pieces for token in parser.feed(piece)] + parser.flush()


def test_one_token_a_piece() -> None:
    assert parse("<custom_token_12>", "<custom_token_4107>") == [12, 4107]


def test_several_tokens_in_one_piece() -> None:
    assert parse("<custom_token_2><custom_token_3>x<custom_token_4>") == [2, 3, 4]


@pytest.mark.parametrize("cut", range(1, len("<custom_token_28681>")))
def test_token_split_across_deltas(cut: int) -> None:
    text = "<custom_token_28681>"
    assert parse(text[:cut], text[cut:]) == [28681]


def test_token_cut_into_characters_between_foreign_text() -> None:
    assert parse(*"a < b <<custom_token_1<custom_token_10> <custom_token_x><custom_token_9>") == [10, 9]


def test_unfinished_token_at_the_end_is_none() -> None:
    assert parse("<custom_token_1", "2") == []


def test_foreign_text_is_not_kept() -> None:
    parser = TokenParser()
    for _ in range(10_000):
        parser.feed("<custom_token_" + "9" * 50 + "<" * 50)
    assert len(parser._tail) < 30


def test_other_digits_are_no_numbers() -> None:
    assert parse("<custom_token_١٢>", "<custom_token_", "²>") == []
