"""`netfront` and `python -m netfront`. What needs no command is answered before anything else is imported."""

import sys

from netfront import __version__
from netfront.cli.streams import hold_streams, print_result

__all__ = ["main"]


def main() -> int:
    """Run the command line; give the exit code."""
    hold_streams()
    try:
        return _run(sys.argv[1:])
    except KeyboardInterrupt:
        return 130  # ExitCode.INTERRUPTED, while that was still being imported


def _run(args: list[str]) -> int:
    if args[:1] in (["--version"], ["-V"]):
        print_result(f"netfront {__version__}\n")
        return 0
    if args in (["-h"], ["--help"]):
        from netfront.cli.help import root_help

        print_result(root_help(is_full=args == ["--help"]))
        return 0
    if len(args) == 2 and args[0] == "completion":
        from netfront.cli.installed import installed_completion

        script = installed_completion(args[1])
        if script is not None:
            print_result(script)
            return 0
    from netfront.cli.app import run

    return run(args)


if __name__ == "__main__":
    sys.exit(main())
