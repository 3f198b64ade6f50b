"""What is to be said in, the prompt of one completion out. Pure; never talks to a server.

Orpheus was trained on: 128259 128000 <voice: text> 128009 128260 128261 128257, then the model speaks.
Source of the ids: canopyai/Orpheus-TTS, engine_class.py. In text, <custom_token_k> is 128256 + k.
"""

import re
from dataclasses import dataclass
from typing import Literal

from tts_engine.llm.dialects import Dialect

PromptForm = Literal["training", "text", "audio"]
PROMPT_FORMS: tuple[PromptForm, ...] = ("training", "text", "audio")

START_OF_HUMAN, BEGIN_OF_TEXT = 128259, 128000
END_OF_TEXT, END_OF_HUMAN, START_OF_AI, START_OF_SPEECH = 128009, 128260, 128261, 128257

TEXT_HEAD = "<custom_token_3><|begin_of_text|>"
_TEXT_TAIL = "<|eot_id|><custom_token_4><custom_token_5><custom_token_1>"

# Every added token of the model's vocabulary has one of these two spellings. A lone surrogate cannot be sent as UTF-8.
_SPECIAL = re.compile(r"<\|\w+\|>|<custom_token_[0-9]+>|[\ud800-\udfff]", re.ASCII)


@dataclass(frozen=True, slots=True)
class Speech:
    """One segment to be spoken."""

    text: str
    """What is said; special tokens in it are taken out before it is sent."""
    voice: str
    """The voice, as the model was trained on it."""


def remove_special_tokens(text: str) -> str:
    """The text with a space for each special token of the model; emotion tags (<laugh>) stay. Linear time.

    A space, not nothing: no special token holds a space, so none can appear where one was taken out.
    """
    return _SPECIAL.sub(" ", text)


def prompt(speech: Speech, form: PromptForm, dialect: Dialect) -> str | list[str | int]:
    """The `prompt` field for this server: text, or llama.cpp's array of token ids and text.

    training: exactly the training sequence where the server can be told so; elsewhere the text form.
    text: the training sequence as text; servers that cannot be told otherwise put one <|begin_of_text|> in front,
    as the engine of the model's authors does. audio: the short form of older frontends; the model adds the rest itself.
    """
    said = f"{remove_special_tokens(speech.voice)}: {remove_special_tokens(speech.text)}"
    if form == "audio":
        return f"<|audio|>{said}<|eot_id|>"
    if form == "training" and dialect.mixed_prompt:
        head: list[str | int] = [START_OF_HUMAN, BEGIN_OF_TEXT]
        return [*head, said, END_OF_TEXT, END_OF_HUMAN, START_OF_AI, START_OF_SPEECH]
    return f"{TEXT_HEAD}{said}{_TEXT_TAIL}"
