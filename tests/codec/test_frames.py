"""Frames are put together by slot; what is broken costs its own frame and no other."""

import pytest

from tts_engine.codec.frames import CODES, END_OF_SPEECH, FIRST_AUDIO_TOKEN, SLOTS, Frame, FrameAssembler

A, B, C = (tuple(range(start, start + SLOTS)) for start in (0, 100, 4089))


def tokens(frame: Frame) -> list[int]:
    return [FIRST_AUDIO_TOKEN + slot * CODES + code for slot, code in enumerate(frame)]


def assemble(numbers: list[int]) -> tuple[list[Frame], FrameAssembler]:
    assembler = FrameAssembler()
    frames = assembler.feed(numbers)
    return frames + assembler.flush(), assembler


def test_whole_frames() -> None:
    frames, assembler = assemble([*tokens(A), *tokens(B), *tokens(C)])
    assert frames == [A, B, C]
    assert (assembler.tokens, assembler.dropped) == (21, 0)


@pytest.mark.parametrize("code", [0, CODES - 1])
def test_first_and_last_code_are_legal_in_every_slot(code: int) -> None:
    frame = (code,) * SLOTS
    assert assemble(tokens(frame))[0] == [frame]


@pytest.mark.parametrize("slot", range(SLOTS))
def test_missing_token_costs_its_frame_only(slot: int) -> None:
    broken = tokens(B)
    del broken[slot]
    frames, assembler = assemble([*tokens(A), *broken, *tokens(C)])
    assert frames == [A, C]
    assert assembler.dropped == SLOTS - 1


@pytest.mark.parametrize("slot", range(SLOTS))
def test_doubled_token_costs_nothing(slot: int) -> None:
    doubled = tokens(B)
    doubled.insert(slot, doubled[slot])
    frames, assembler = assemble([*tokens(A), *doubled, *tokens(C)])
    assert frames == [A, B, C]
    assert assembler.dropped == 1


@pytest.mark.parametrize("slot", range(1, SLOTS - 1))
def test_two_codes_for_one_slot_drop_the_frame(slot: int) -> None:
    wrong = tokens(B)
    wrong.insert(slot, wrong[slot] + 1)
    assert assemble([*tokens(A), *wrong, *tokens(C)])[0] == [A, C]


@pytest.mark.parametrize("slot", range(SLOTS))
def test_code_out_of_range_is_dropped_with_its_frame(slot: int) -> None:
    broken = tokens(B)
    broken[slot] = FIRST_AUDIO_TOKEN + SLOTS * CODES + 5
    frames, assembler = assemble([*tokens(A), *broken, *tokens(C)])
    assert frames == [A, C]
    assert assembler.dropped == SLOTS


@pytest.mark.parametrize("slot", range(SLOTS))
def test_control_tokens_inside_a_frame_are_skipped(slot: int) -> None:
    mixed = tokens(B)
    mixed[slot:slot] = [4, 5, 1, 0, 9]
    assert assemble([*tokens(A), *mixed])[0] == [A, B]


def test_nothing_after_end_of_speech() -> None:
    frames, assembler = assemble([*tokens(A), END_OF_SPEECH, *tokens(B)])
    assert frames == [A]
    assert assembler.ended


def test_unfinished_last_frame_is_dropped() -> None:
    frames, assembler = assemble([*tokens(A), *tokens(B)[:5]])
    assert frames == [A]
    assert assembler.dropped == 5


def test_start_in_the_middle_of_a_frame() -> None:
    assert assemble([*tokens(A)[3:], *tokens(B)])[0] == [B]
