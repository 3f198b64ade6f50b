from tts_engine.audio.captions import Caption, to_srt, to_vtt

TWO = [Caption(0.0, 1.5, "Hello there."), Caption(3723.0405, 3725.9996, "한국어, <laugh> & more")]


def test_srt_numbers_its_cues_and_writes_commas() -> None:
    assert to_srt(TWO) == (
        "1\n00:00:00,000 --> 00:00:01,500\nHello there.\n\n2\n01:02:03,040 --> 01:02:06,000\n한국어, <laugh> & more\n\n"
    )


def test_vtt_writes_points_and_escapes_what_would_be_a_tag() -> None:
    assert to_vtt(TWO) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello there.\n\n"
        "01:02:03.040 --> 01:02:06.000\n한국어, &lt;laugh&gt; &amp; more\n\n"
    )


def test_an_empty_line_or_an_arrow_in_the_text_does_not_end_the_cue() -> None:
    caption = Caption(0, 1, "  one \r\n\n two --> three\n")
    assert to_srt([caption]) == "1\n00:00:00,000 --> 00:00:01,000\none\ntwo -> three\n\n"
    assert to_vtt([caption]) == "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\none\ntwo --&gt; three\n\n"


def test_captions_without_text_are_left_out_and_the_numbers_run_on() -> None:
    srt = to_srt([Caption(0, 1, " \n"), Caption(1, 2, "a"), Caption(2, 3, ""), Caption(3, 4, "b")])
    assert [block.split("\n")[0] for block in srt.strip().split("\n\n")] == ["1", "2"]


def test_no_captions_are_a_valid_file() -> None:
    assert to_srt([]) == ""
    assert to_vtt([]) == "WEBVTT\n\n"


def test_more_than_a_hundred_hours_keep_their_hours() -> None:
    assert "100:00:00,000 --> 100:00:01,000" in to_srt([Caption(360_000, 360_001, "late")])
