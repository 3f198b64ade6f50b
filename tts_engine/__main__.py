"""The command line: `python -m tts_engine say "Hello." -o hello.mp3`, `read`, `voices`, `check`.

Rooms are imported where a command needs them, so that --help answers at once.
"""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from tts_engine.api.schemas import SpeechBody
    from tts_engine.config import Settings
    from tts_engine.engine import Engine

Body = TypeVar("Body", bound="BaseModel")

app = typer.Typer(
    help="Speech from an Orpheus model. Settings come from .env, as for the server.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Voice = Annotated[str, typer.Option("--voice", "-v", help="A voice; see `voices`.")]
Output = Annotated[
    str,
    typer.Option("--output", "-o", help="The file to write; - is standard output; none plays through the speakers."),
]
Speed = Annotated[float, typer.Option(help="0.25 to 4.0; the pitch stays.")]
Seed = Annotated[int, typer.Option(help="Repeats the audio; -1 is another each time.")]

PLAYERS = (
    ["ffplay", "-autoexit", "-nodisp", "-loglevel", "error", "-f", "s16le", "-ar", "{rate}", "-i", "-"],
    ["aplay", "-q", "-t", "raw", "-f", "S16_LE", "-c", "1", "-r", "{rate}"],
    ["play", "-q", "-t", "raw", "-e", "signed", "-b", "16", "-c", "1", "-r", "{rate}", "-"],
)
"""Programs that play raw PCM from standard input, the first one found is taken."""


@app.command()
def say(
    text: Annotated[str, typer.Argument(help="What to say; - reads it from standard input.")],
    voice: Voice = "",
    output: Output = "",
    speed: Speed = 1.0,
    seed: Seed = -1,
) -> None:
    """Say a text: into a file (the ending gives the format), to standard output (wav), or through the speakers."""
    words = sys.stdin.read() if text == "-" else text
    audio_format = _format_of(output) if output not in ("", "-") else ("wav" if output == "-" else "pcm")
    fields = {"input": words, "voice": voice or None, "response_format": audio_format, "speed": speed, "seed": seed}
    from tts_engine.api.schemas import SpeechBody

    _run(_say(_checked(SpeechBody, fields), output))


@app.command()
def read(
    book: Annotated[Path, typer.Argument(help="A .txt, .md or .epub file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write; m4b has chapters.")],
    voice: Voice = "",
    speed: Speed = 1.0,
    seed: Seed = -1,
) -> None:
    """Read a book into a file. Broken off, the same command goes on where it was."""
    audio_format = _format_of(str(output), "m4b")
    if not book.is_file():
        _fail(f"There is no file {book}.")
    from tts_engine.api.job_bodies import JobBody
    from tts_engine.reading import read as read_book

    fields: dict[str, object] = {"voice": voice or None, "response_format": audio_format, "speed": speed, "seed": seed}
    _run(read_book(_engine(), book, output, _checked(JobBody, fields)))


@app.command()
def voices() -> None:
    """List the voices."""
    from rich.console import Console
    from rich.table import Table

    from tts_engine.voices import LANGUAGES

    table = Table("voice", "language", "description")
    for voice in _settings().voices.voices:
        words = ", ".join(part for part in (voice.gender, voice.description) if part)
        table.add_row(voice.name, LANGUAGES.get(voice.language, voice.language), words)
    Console().print(table)


@app.command()
def check() -> None:
    """Look at everything that speech needs and say what is right and what is wrong. Exits with 1 if anything is."""
    raise typer.Exit(asyncio.run(_check()))


async def _check() -> int:
    from rich.console import Console

    from tts_engine.checks import run_checks

    engine = _engine()
    await engine.start()
    try:
        checks = await run_checks(engine)
    finally:
        await engine.close()
    console = Console(highlight=False)
    for item in checks:
        mark = {True: "[green]right[/]", False: "[red]wrong[/]", None: "[yellow]open [/]"}[item.ok]
        console.print(f"{mark}  [bold]{item.name}[/]: ", end="")
        console.print(item.message, markup=False)
    return int(any(item.ok is False for item in checks))


async def _say(body: "SpeechBody", output: str) -> None:
    from tts_engine.api.speaking import resolve, speak
    from tts_engine.synthesis import Report

    engine = _engine()
    job = resolve(body, engine)
    await engine.start()
    try:
        audio = speak(job, engine, Report())
        if not output:
            await _play(audio, job.sample_rate)
        elif output == "-":
            async for piece in audio:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        else:
            await _write(audio, Path(output))
    finally:
        await engine.close()


async def _write(audio: AsyncGenerator[bytes], path: Path) -> None:
    """Whole or not at all: into a file beside it that takes its name at the end."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            async for piece in audio:
                file.write(piece)
        part.replace(path)
    except OSError as exc:
        _fail(f"Cannot write {path}: {exc.strerror}.")
    finally:
        part.unlink(missing_ok=True)


async def _play(audio: AsyncGenerator[bytes], sample_rate: int) -> None:
    command = next((player for player in PLAYERS if shutil.which(player[0])), None)
    if command is None:
        names = ", ".join(player[0] for player in PLAYERS)
        _fail(f"None of {names} is on this machine to play through. Name a file with -o hello.mp3.")
    arguments = [part.format(rate=sample_rate) for part in command]
    player = await asyncio.create_subprocess_exec(*arguments, stdin=subprocess.PIPE)
    assert player.stdin is not None
    try:
        async for piece in audio:
            player.stdin.write(piece)
            await player.stdin.drain()
        player.stdin.close()
        await player.wait()
    except (BrokenPipeError, ConnectionResetError):
        _fail(f"{arguments[0]} stopped playing.")
    finally:
        if player.returncode is None:
            player.kill()


def _checked(schema: type[Body], fields: dict[str, object]) -> Body:
    from pydantic import ValidationError

    try:
        return schema.model_validate(fields)
    except ValidationError as exc:
        first = exc.errors()[0]
        _fail(f"Invalid {first['loc'][0]}: {first['msg']}.")


def _format_of(output: str, *more: str) -> str:
    from tts_engine.audio.encoders import FORMATS

    ending = Path(output).suffix.lower().removeprefix(".")
    if not Path(output).resolve().parent.is_dir():
        _fail(f"Cannot write {output}: there is no such folder.")
    names = {kind.extension.removeprefix("."): kind.name for kind in FORMATS.values()} | {name: name for name in more}
    if ending not in names:
        _fail(f"{output}: the ending gives the format, and must be one of {', '.join(sorted(names))}.")
    return names[ending]


def _settings() -> "Settings":
    from tts_engine.config import env_file, load_settings
    from tts_engine.errors import SettingsError

    try:
        return load_settings(env_file())
    except SettingsError as exc:
        _fail(exc.message)


def _engine() -> "Engine":
    from tts_engine.engine import Engine

    return Engine(_settings())


def _run(work: Coroutine[None, None, None]) -> None:
    from tts_engine.errors import OrpheusError

    try:
        asyncio.run(work)
    except OrpheusError as exc:
        _fail(exc.message)
    except OSError as exc:
        _fail(f"A file could not be read or written: {exc}.")
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
