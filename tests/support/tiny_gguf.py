"""A language model of 19 MB that speaks like Orpheus: the tests' real model for the real llama.cpp server.

Llama architecture, one layer, one head, width 32, the whole vocabulary of 156,940 tokens; every weight is set by hand.

- A token's embedding is a one-hot class (which slot, which control token, or text) and 17 random signs. An output row
  reads the class that comes before its own and weighs the signs: so the order of tokens is certain and the codes
  look random. After `<|eot_id|>`: 4, 5, 1, codes of slots 0..6 over and over, 2.
- The queries are zero, so the one attention head is the plain average over the context. It carries the share of audio
  tokens; once that passes LENGTH_RATIO audio tokens for each other token, 2 wins over the next code of slot 0: the
  length grows with the text, and the end falls between frames.
- Text is spelled in bytes: the vocabulary holds the 256 byte tokens, one merge, and names that no text spells.
"""

from pathlib import Path
from typing import Literal

import gguf
import numpy as np
from numpy.typing import NDArray

from tests.support.paths import build_key, build_once, cache_dir

VOCABULARY = 156_940
BEGIN_OF_TEXT, END_OF_TURN, CUSTOM_0, AUDIO = 128_000, 128_009, 128_256, 156_939
FIRST_CODE, CODES, SLOTS = 10, 4096, 7
END_OF_SPEECH, END_OF_AI = CUSTOM_0 + 2, CUSTOM_0 + 6
LENGTH_RATIO = 2.0
"""Audio tokens made for each token of prompt, before the next end of a frame."""

WIDTH, SIGNS = 32, 17
END_OF_TURN_CLASS, TOKEN_4, TOKEN_5, TOKEN_1, TOKEN_2, TOKEN_6, TEXT, SHARE = range(SLOTS, SLOTS + 8)
"""Dimensions after the seven slots. SHARE is empty in the embedding: the attention writes it."""
SIGN_SIZE = 0.25
CERTAIN = 30.0
"""Logit of the tokens that may come next; the others have about 0, so neither heat nor penalty reaches them."""
LIKING = 0.25
"""Standard deviation of the weights with which a code likes the signs before it: that of its logit is 4 times it."""
NORM = np.sqrt((1 + SIGNS * SIGN_SIZE**2) / WIDTH)
"""Root mean square of an embedding: what RMSNorm divides by."""

Fault = Literal["", "invisible", "endless", "slips"]


def build(path: Path, *, eos: int = END_OF_SPEECH, fault: Fault = "") -> Path:
    """Write the model to path. eos: token id that ends a generation (`<|eot_id|>` always does as well).

    With eos=END_OF_TURN the stream shows `<custom_token_2><custom_token_6>` before it ends, as some conversions do.
    fault "invisible": the custom tokens are CONTROL, as a bad conversion makes them; llama.cpp then shows no text.
    fault "endless": 2 never comes. fault "slips": about one frame in eight lacks its slot 4.
    """
    writer = gguf.GGUFWriter(path, "llama")
    _add_hyperparameters(writer)
    _add_vocabulary(writer, eos, gguf.TokenType.CONTROL if fault == "invisible" else gguf.TokenType.USER_DEFINED)
    _add_weights(writer, fault)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def cached(*, eos: int = END_OF_SPEECH, fault: Fault = "") -> Path:
    """The model out of the cache, built on first use (about two seconds)."""
    name = f"tiny-orpheus-{build_key(__file__, eos=eos, fault=fault)}.gguf"

    def write(path: Path) -> None:
        build(path, eos=eos, fault=fault)

    return build_once(cache_dir() / name, write)


def _add_hyperparameters(writer: gguf.GGUFWriter) -> None:
    writer.add_name("tiny-orpheus")
    writer.add_context_length(131_072)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_rope_dimension_count(WIDTH)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)


def _add_vocabulary(writer: gguf.GGUFWriter, eos: int, custom: gguf.TokenType) -> None:
    bytes_ = _byte_tokens()
    merged = [f"{bytes_[ord(' ')]}t"]
    words = [*bytes_, *merged]
    # Llama 3 cuts numbers into threes before it looks words up: no text is ever one of these.
    words += [f"unused{number:06d}" for number in range(len(words), BEGIN_OF_TEXT)]
    specials = _llama_3_specials()
    customs = [f"<custom_token_{number}>" for number in range(AUDIO - CUSTOM_0)]
    types = [gguf.TokenType.NORMAL] * len(words) + [gguf.TokenType.CONTROL] * len(specials)
    types += [custom] * len(customs) + [gguf.TokenType.CONTROL]

    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list([*words, *specials, *customs, "<|audio|>"])
    writer.add_token_types(types)
    writer.add_token_merges([f"{bytes_[ord(' ')]} t"])
    writer.add_bos_token_id(BEGIN_OF_TEXT)
    writer.add_eos_token_id(eos)
    writer.add_add_bos_token(True)


def _byte_tokens() -> list[str]:
    """GPT-2's letter for each byte: itself where it can be seen, else the next free one from U+0100 on."""
    seen = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    hidden = [byte for byte in range(256) if byte not in seen]
    return [chr(byte) if byte in seen else chr(256 + hidden.index(byte)) for byte in range(256)]


def _llama_3_specials() -> list[str]:
    names = {
        0: "<|begin_of_text|>",
        1: "<|end_of_text|>",
        4: "<|finetune_right_pad_id|>",
        6: "<|start_header_id|>",
        7: "<|end_header_id|>",
        8: "<|eom_id|>",
        9: "<|eot_id|>",
        10: "<|python_tag|>",
    }
    free = (number for number in range(248))
    return [names.get(index) or f"<|reserved_special_token_{next(free)}|>" for index in range(256)]


def _add_weights(writer: gguf.GGUFWriter, fault: Fault) -> None:
    embedding, output = _token_rows(fault)
    packed = gguf.quants.quantize(embedding, gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("token_embd.weight", packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("output.weight", output.astype(np.float16))
    value, back = _average()
    nothing = np.zeros((WIDTH, WIDTH), np.float32)
    for name, weight in {"q": nothing, "k": nothing, "v": value, "output": back}.items():
        writer.add_tensor(f"blk.0.attn_{name}.weight", weight)
    for name in ("ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", nothing)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))


def _token_rows(fault: Fault) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The embedding and the output matrix, float32 [156940, 32] each."""
    random = np.random.default_rng(20260101)
    signs = random.choice([-1.0, 1.0], (VOCABULARY, SIGNS))
    class_of, after = _classes()
    following = CERTAIN * NORM  # an output weight that makes CERTAIN out of a normalised one-hot
    codes = slice(CUSTOM_0 + FIRST_CODE, CUSTOM_0 + FIRST_CODE + SLOTS * CODES)

    embedding = np.zeros((VOCABULARY, WIDTH), np.float32)
    if fault == "slips":
        slot_3 = CUSTOM_0 + FIRST_CODE + 3 * CODES
        class_of[slot_3 : slot_3 + CODES : 8] = 4
    embedding[np.arange(VOCABULARY), class_of] = 1
    embedding[:, -SIGNS:] = SIGN_SIZE * signs

    output = np.zeros((VOCABULARY, WIDTH), np.float32)
    for token, classes in after.items():
        output[token, classes] = following
    slot_of = np.repeat(np.arange(SLOTS), CODES)
    output[codes][np.arange(SLOTS * CODES), (slot_of - 1) % SLOTS] = following
    output[codes.start : codes.start + CODES, TOKEN_1] = following
    output[codes, -SIGNS:] = random.normal(0, LIKING, (SLOTS * CODES, SIGNS))  # not signs: they would tie
    # The end competes with slot 0 after slot 6 only; one frame too many tips the scale for good.
    output[END_OF_SPEECH, :SLOTS] = -following
    output[END_OF_SPEECH, SLOTS - 1] = 0 if fault == "endless" else following
    output[END_OF_SPEECH, SHARE] = 0 if fault == "endless" else 300
    return embedding, output


def _classes() -> tuple[NDArray[np.intp], dict[int, int]]:
    """The class of every token [156940], and for each control token the class after which it comes."""
    class_of = np.full(VOCABULARY, TEXT)
    first = CUSTOM_0 + FIRST_CODE
    class_of[first : first + SLOTS * CODES] = np.repeat(np.arange(SLOTS), CODES)
    named = {4: TOKEN_4, 5: TOKEN_5, 1: TOKEN_1, 2: TOKEN_2, 6: TOKEN_6}
    for number, class_ in named.items():
        class_of[CUSTOM_0 + number] = class_
    class_of[END_OF_TURN] = END_OF_TURN_CLASS
    after = {
        CUSTOM_0 + 4: END_OF_TURN_CLASS,
        CUSTOM_0 + 5: TOKEN_4,
        CUSTOM_0 + 1: TOKEN_5,
        END_OF_AI: TOKEN_2,
        END_OF_TURN: TOKEN_6,
        BEGIN_OF_TEXT + 1: TEXT,  # a prompt that lacks its end is answered with silence
    }
    return class_of, after


def _average() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Value and output projection [32, 32]: their average is 0 at LENGTH_RATIO, positive when there is more audio.

    The average of the signs goes along, so that the codes depend on the text and not on the seed alone.
    """
    share = LENGTH_RATIO / (1 + LENGTH_RATIO)
    value = np.zeros((WIDTH, WIDTH), np.float32)
    value[0, :SLOTS] = (1 - share) * NORM
    value[0, SLOTS:SHARE] = -share * NORM
    back = np.zeros((WIDTH, WIDTH), np.float32)
    back[SHARE, 0] = 0.5  # small, so that the norm of the sum stays that of the embedding
    value[1 : 1 + SIGNS, -SIGNS:] = np.eye(SIGNS)
    back[-SIGNS:, 1 : 1 + SIGNS] = 2 * NORM * np.eye(SIGNS)
    return value, back
