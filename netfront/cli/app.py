"""The typer app: which commands there are, and how what goes wrong in them is told.

What a command needs is imported by its body, after its flags were found right, so that help and a mistyped
flag cost neither trio nor TLS.
"""

import shlex
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Annotated

import typer

from netfront.cli.command import Command
from netfront.cli.elsewhere import elsewhere
from netfront.cli.gateway import gateway
from netfront.cli.help import full_help, short_help
from netfront.cli.serving import serving
from netfront.cli.streams import print_result
from netfront.cli.tree import TyperObject, read_tree
from netfront.errors import CannotListen, ExitCode, Fault, UsageError

__all__ = ["app", "root", "run"]

app = typer.Typer(
    name="netfront", rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False
)
trust = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)
app.command("balance", cls=Command)(serving)
app.command("proxy", cls=Command)(serving)
app.command("gateway", cls=Command)(gateway)
app.add_typer(trust, name="trust")


@trust.command("path", cls=Command)
def trust_path(ctx: typer.Context) -> None:
    """Print the local CA's file, made if there is none."""
    _refuse(ctx)
    from netfront.cli.trust import print_ca_path

    print_ca_path()


@trust.command("env", cls=Command)
def trust_env(ctx: typer.Context) -> None:
    """Print the lines that make programs believe the local CA."""
    _refuse(ctx)
    from netfront.cli.trust import print_env_lines

    print_env_lines()


@app.command(cls=Command)
def completion(
    ctx: typer.Context,
    shell: Annotated[str, typer.Argument(metavar="bash|zsh|fish")] = "",
) -> None:
    """Print a shell's completion script."""
    from netfront.cli.completion import SHELLS, render_completion

    if shell not in SHELLS:
        near = get_close_matches(shell, SHELLS, n=1)
        hint = f"did you mean {near[0]}?" if near else "there are bash, zsh and fish"
        ctx.obj.faults.append(Fault(shell or "no shell", "no completion for it" if shell else "", hint))
    _refuse(ctx)
    print_result(render_completion(shell, read_tree(root())))


def root() -> TyperObject:
    """Give the tree of commands."""
    return typer.main.get_command(app)


def run(args: Sequence[str]) -> int:
    """Run a command line and tell what goes wrong in it.

    Returns:
        the exit code.
    """
    return _call(root(), "netfront", list(args))


def _call(command: TyperObject, name: str, args: list[str]) -> int:
    try:
        if hasattr(command, "commands"):
            return _descend(command, name, args)
        return int(command.main(args=args, prog_name=name, standalone_mode=False) or ExitCode.DONE)
    except (UsageError, CannotListen, KeyboardInterrupt, BaseExceptionGroup) as error:
        if "--debug" in args:
            traceback.print_exc()
        return _tell(name, error, args)


def _descend(command: TyperObject, name: str, args: list[str]) -> int:
    """Go on to the command below that is called, or answer a call for help."""
    node = read_tree(command, name)
    known = [child.word for child in node.children]
    if not args:
        sys.stderr.write(short_help(node))
        return ExitCode.USAGE
    word, *rest = args
    if word in ("-h", "--help"):
        print_result((full_help if word == "--help" else short_help)(node))
        return ExitCode.DONE
    if word not in known:
        raise UsageError(_unknown(word, known))
    found = command.commands[word]
    if isinstance(found, Command):
        found.siblings = {f"{name} {other}": one for other, one in command.commands.items() if other != word}
    return _call(found, f"{name} {word}", rest)


def _unknown(word: str, known: Sequence[str]) -> Fault:
    if word.startswith("-"):
        near = get_close_matches(word, ["--help", "--version"], n=1)
        return Fault(word, "no such flag", f"did you mean {near[0]}?" if near else "flags follow the command")
    near = get_close_matches(word, known, n=1)
    if word in ("help", "version"):
        near = [f"--{word}"]
    return Fault(
        word or "''",
        "no such command",
        f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}",
    )


def _refuse(ctx: typer.Context) -> None:
    if ctx.obj.faults:
        raise UsageError(*ctx.obj.faults)


def _tell(name: str, error: BaseException, args: Sequence[str]) -> int:
    """Write what went wrong in the form of all messages, and give the exit code it means."""
    if isinstance(error, BaseExceptionGroup):
        known = error.subgroup((UsageError, CannotListen, KeyboardInterrupt))
        if known is None or error.split((UsageError, CannotListen, KeyboardInterrupt))[1] is not None:
            raise error
        return _tell(name, known.exceptions[0], args)
    if isinstance(error, UsageError):
        faults, code = error.faults, ExitCode.USAGE
    elif isinstance(error, CannotListen):
        faults, code = _with_correction(name, error, args), ExitCode.CANNOT_LISTEN
    else:
        return ExitCode.INTERRUPTED
    sys.stderr.write("".join(f"{name}: {_printable(str(_visible(fault)))}\n" for fault in faults))
    return code


def _with_correction(name: str, error: CannotListen, args: Sequence[str]) -> tuple[Fault, ...]:
    """Add the command that would work, where other ports would do; behind the last fault, as it mends them all."""
    words = elsewhere(args, error.instead)
    if not words:
        return error.faults
    *others, last = error.faults
    command = f"try: {name} {shlex.join(words)}"
    hint = f"{last.hint}; {command}" if last.hint else command
    return (*others, Fault(last.what, last.why, hint))


def _visible(fault: Fault) -> Fault:
    """Show an empty word as a shell would have it."""
    is_empty = not fault.what or fault.what.endswith(" ")
    return replace(fault, what=f"{fault.what}''") if is_empty else fault


def _printable(text: str) -> str:
    """Keep what was mistyped from steering the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)
