"""Every decoder gives SNAC.decode of the whole sequence, for any length, cutting and company of streams."""

import itertools
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.codec.snac_models import (
    DECODERS,
    STEPPED,
    VARIANTS,
    assert_same,
    config,
    decode_whole,
    decoder,
    model,
    reference,
)
from tests.support import tiny_snac
from tests.support.tiny_snac import random_codes, reference_pcm
from tts_engine.codec.decoder import Codes, Decoder, Pcm, Work
from tts_engine.errors import CodecError

FRAME_SIZE = 2048
REACH = 4757


@pytest.fixture(scope="module")
def small() -> Path:
    return model("small")


def streams_at_random(of: Decoder, all_codes: list[Codes], rng: np.random.Generator) -> list[Pcm]:
    """Decode all streams, each cut anywhere, in calls that hold any of them in any order."""
    streams = [of.open(seed) for seed in range(len(all_codes))]
    done = [0] * len(all_codes)
    pieces: list[list[Pcm]] = [[] for _ in all_codes]
    waiting = list(range(len(all_codes)))
    while waiting:
        chosen = rng.permutation(waiting)[: rng.integers(1, len(waiting) + 1)]
        work = []
        for index in chosen:
            count = int(rng.choice([0, 1, 1, 2, 3, 4, 5, 9]))
            frames = all_codes[index][done[index] : done[index] + count]
            done[index] += len(frames)
            last = done[index] == len(all_codes[index]) and bool(rng.integers(2))
            work.append(Work(streams[index], frames, last))
        for index, item, pcm in zip(chosen, work, of.decode(work), strict=True):
            pieces[index].append(pcm)
            if item.last:
                waiting.remove(index)
    return [np.concatenate(parts) for parts in pieces]


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 6, 7, 8, 29])
def test_a_stream_of_any_length_is_exact(name: str, frames: int, small: Path) -> None:
    codes = random_codes(frames, seed=frames)
    assert_same(decode_whole(decoder(name, small), codes), reference_pcm(small, codes))


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("round_", range(3))
def test_streams_cut_and_mixed_at_random_are_exact(name: str, round_: int, small: Path) -> None:
    rng = np.random.default_rng(round_)
    all_codes = [random_codes(int(frames), seed=100 * round_ + int(frames)) for frames in rng.integers(1, 24, 5)]
    for codes, pcm in zip(all_codes, streams_at_random(decoder(name, small), all_codes, rng), strict=True):
        assert_same(pcm, reference_pcm(small, codes))


def test_a_thousand_frames_are_exact(small: Path) -> None:
    codes, rng = random_codes(1000), np.random.default_rng(0)
    expected = reference_pcm(small, codes)
    cuts = [0, *np.sort(rng.choice(1000, 30, replace=False)), 1000]
    for of in (decoder("openvino", small), decoder("torch", small)):
        stream, pieces = of.open(0), []
        for begin, end in itertools.pairwise(cuts):
            pieces += of.decode([Work(stream, codes[begin:end], end == 1000)])
        assert_same(np.concatenate(pieces), expected)


@pytest.mark.parametrize("name", ["openvino", "torch"])
def test_the_24_khz_architecture_in_full_width_is_exact(name: str) -> None:
    full = tiny_snac.cached(width="full")
    codes = random_codes(9)
    rng = np.random.default_rng(1)
    for pcm in streams_at_random(decoder(name, full), [codes] * 3, rng):
        assert_same(pcm, reference_pcm(full, codes))


@pytest.mark.parametrize("name", ["openvino narrow", "torch", "window"])
@pytest.mark.parametrize("variant", list(VARIANTS)[1:])
def test_other_widths_and_rates_are_exact(name: str, variant: str) -> None:
    directory = model(variant)
    of, codes = decoder(name, directory), random_codes(9)
    assert (of.frame_size, of.sample_rate) == (config(directory).frame_size, config(directory).sample_rate)
    assert_same(decode_whole(of, codes), reference_pcm(directory, codes))


@pytest.mark.parametrize("name", STEPPED)
def test_samples_leave_as_soon_as_they_are_final(name: str, small: Path) -> None:
    """After n frames all samples but the last 4757, which frames to come reach; with the last frame the rest."""
    of = decoder(name, small)
    stream, codes, given = of.open(0), random_codes(6), 0
    for n in range(1, 7):
        given += len(of.decode([Work(stream, codes[n - 1 : n], last=False)])[0])
        assert given == stream.samples == max(0, n * FRAME_SIZE - REACH)
        assert stream.frames == n
    given += len(of.decode([Work(stream, codes[:0], last=True)])[0])
    assert given == stream.samples == 6 * FRAME_SIZE
    assert stream.ended


def test_windows_give_a_frame_once_three_more_are_known(small: Path) -> None:
    of = decoder("window", small)
    stream, codes = of.open(0), random_codes(5)
    given = [len(of.decode([Work(stream, codes[n : n + 1], last=False)])[0]) for n in range(5)]
    assert given == [0, 0, 0, FRAME_SIZE, FRAME_SIZE]


def test_a_frame_reaches_no_further_than_the_lookahead(small: Path) -> None:
    """What was given out could not have waited for less: another frame 3 changes the sample right after the final ones."""
    codes, other = random_codes(4), random_codes(4)
    other[3] = random_codes(1, seed=9)
    a, b = reference_pcm(small, codes), reference_pcm(small, other)
    first_change = int(np.flatnonzero(a != b)[0])
    assert 3 * FRAME_SIZE - REACH <= first_change < 3 * FRAME_SIZE - REACH + 512


@pytest.mark.parametrize("name", DECODERS)
def test_nothing_comes_of_a_stream_without_frames(name: str, small: Path) -> None:
    of = decoder(name, small)
    stream = of.open(0)
    assert of.decode([Work(stream, random_codes(0), last=False)])[0].shape == (0,)
    assert of.decode([Work(stream, random_codes(0), last=True)])[0].shape == (0,)
    assert of.decode([]) == []


@pytest.mark.parametrize("name", DECODERS)
def test_noise_is_that_of_its_seed_and_place(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loud = model("small", noise="random")
    of, codes = decoder(name, loud), random_codes(12)
    expected = [reference(loud, codes, monkeypatch, seed=seed) for seed in range(4)]
    assert np.abs(expected[0].astype(np.int32) - expected[1]).max() > 500
    for pcm, same in zip(streams_at_random(of, [codes] * 4, np.random.default_rng(2)), expected, strict=True):
        assert_same(pcm, same)


@pytest.mark.parametrize("name", DECODERS)
def test_a_seeded_stream_repeats_bit_for_bit(name: str) -> None:
    of, codes = decoder(name, model("small", noise="random")), random_codes(6)
    assert np.array_equal(decode_whole(of, codes, seed=7), decode_whole(of, codes, seed=7))
    assert not np.array_equal(decode_whole(of, codes, seed=7), decode_whole(of, codes, seed=8))


@pytest.mark.parametrize("name", DECODERS)
def test_threads_decode_different_streams_at_once(name: str, small: Path) -> None:
    of = decoder(name, small)
    results: dict[int, Pcm] = {}

    def work(index: int) -> None:
        results[index] = streams_at_random(of, [random_codes(9, seed=index)], np.random.default_rng(index))[0]

    threads = [threading.Thread(target=work, args=[index]) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index in range(4):
        assert_same(results[index], reference_pcm(small, random_codes(9, seed=index)))


def bad_works(of: Decoder, small: Path) -> dict[str, list[Work]]:
    good, twice, ended = random_codes(2), of.open(0), of.open(0)
    of.decode([Work(ended, good, last=True)])
    high, low = good.copy(), good.copy()
    high[1, 6], low[0, 0] = 4096, -1
    return {
        "outside 0..4095: .*4096": [Work(of.open(0), high, last=False)],
        "outside 0..4095: -1": [Work(of.open(0), low, last=False)],
        r"int32 \[K, 7\]; .* \[2, 6\]": [Work(of.open(0), good[:, :6], last=False)],
        "these are float": [Work(of.open(0), good.astype(np.float32), last=False)],
        "after the end of their stream of 2 frames": [Work(ended, good, last=False)],
        "twice": [Work(twice, good, last=False), Work(twice, good, last=False)],
        "another decoder": [Work(decoder("torch padded", model("no noise")).open(0), good, last=False)],
    }


@pytest.mark.parametrize("name", DECODERS)
def test_a_bad_work_is_refused_before_anything_is_decoded(name: str, small: Path) -> None:
    of = decoder(name, small)
    for message, bad in bad_works(of, small).items():
        innocent = of.open(0)
        with pytest.raises(CodecError, match=message):
            of.decode([Work(innocent, random_codes(3), last=True), *bad])
        assert (innocent.frames, innocent.samples, innocent.ended) == (0, 0, False)


@pytest.mark.parametrize("name", DECODERS)
def test_warming_up_leaves_no_trace(name: str, small: Path) -> None:
    of, codes = decoder(name, small), random_codes(5)
    stream = of.open(0)
    before = of.decode([Work(stream, codes[:3], last=False)])[0]
    of.warm_up()
    after = of.decode([Work(stream, codes[3:], last=True)])[0]
    assert_same(np.concatenate([before, after]), reference_pcm(small, codes))


def test_decoding_with_openvino_imports_no_torch(small: Path) -> None:
    """A processor-only server is spared torch's memory and its seconds of importing (issue 4, start-up)."""
    program = (
        "import sys, numpy as np\n"
        "from tts_engine.codec.load import load_decoder\n"
        "from tts_engine.codec.decoder import Work\n"
        "of = load_decoder(sys.argv[1], backend='openvino')\n"
        "of.warm_up()\n"
        "assert len(of.decode([Work(of.open(0), np.zeros((2, 7), np.int32), last=True)])[0]) == 4096\n"
        "assert not {'torch', 'snac', 'huggingface_hub'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(small)], check=True, cwd=Path(__file__).parents[2])
