"""``ros2 launch``: bring up a launch file with the bundled launch library."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource
from launch.utilities import AsyncSafeSignalManager
from ros2cli.command import CommandExtension

from launch import LaunchContext, LaunchDescription, LaunchIntrospector, LaunchService, launch_service


class LaunchCommand(CommandExtension):  # type: ignore[misc]
    """Run a launch file."""

    def add_arguments(self, parser: argparse.ArgumentParser, cli_name: str) -> None:
        """Declare the command line of the verb on ``parser``."""
        parser.add_argument("target", help="a package name, or the path of a launch file")
        parser.add_argument(
            "rest",
            nargs="*",
            help="the launch file (after a package), then name:=value",
        )
        parser.add_argument(
            "-s",
            "--show-args",
            "--show-arguments",
            action="store_true",
            help="show the arguments of the launch file and stop",
        )
        parser.add_argument(
            "-p",
            "--print",
            "--print-description",
            action="store_true",
            help="print what it describes and stop",
        )
        parser.add_argument("-d", "--debug", action="store_true", help="log what the launch system does")
        parser.add_argument("-n", "--noninteractive", action="store_true", help="run without a terminal")
        parser.add_argument(
            "-a",
            "--show-all-subprocesses-output",
            action="store_true",
            help="show the output of every process, whatever the launch file says",
        )

    def main(self, *, parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
        """Run the verb and return the exit code of the launch (0: everything ended well)."""
        path, assignments = split_target(args.target, args.rest)
        arguments = parse_arguments(assignments)
        if args.show_args or args.print:
            description = AnyLaunchDescriptionSource(str(path)).get_launch_description(LaunchContext())
            if args.print:
                print(LaunchIntrospector().format_launch_description(description))
            if args.show_args:
                print(format_arguments(description))
            return 0
        if args.show_all_subprocesses_output:
            os.environ["OVERRIDE_LAUNCH_PROCESS_OUTPUT"] = "both"
        return run(path, arguments, debug=args.debug, noninteractive=args.noninteractive)


def split_target(target: str, rest: list[str]) -> tuple[Path, list[str]]:
    """Return the launch file that the command line means and what follows it.

    Raises RuntimeError (which ros2cli prints) where there is no such package or file.
    """
    path = Path(target)
    if path.is_file():
        return path.resolve(), rest
    if os.sep in target or not rest or ":=" in rest[0]:
        raise RuntimeError(
            f"{target}: expected the path of a launch file, or a package and a launch file name"
        )
    try:
        share = Path(get_package_share_directory(target))
    except (PackageNotFoundError, ValueError) as error:
        raise RuntimeError(
            f"package {target!r}: not in AMENT_PREFIX_PATH; source its workspace first"
        ) from error
    found = sorted(path for path in share.rglob(rest[0]) if path.is_file())
    if not found:
        raise RuntimeError(f"package {target!r}: no launch file {rest[0]!r} under {share}")
    if len(found) > 1:
        raise RuntimeError(
            f"package {target!r}: several files are called {rest[0]!r}: {', '.join(map(str, found))}"
        )
    return found[0], rest[1:]


def parse_arguments(assignments: list[str]) -> list[tuple[str, str]]:
    """Return the (name, value) pairs of ``name:=value`` words; raises RuntimeError for any other word."""
    pairs: dict[str, str] = {}
    for word in assignments:
        name, separator, value = word.partition(":=")
        if not separator or not name:
            raise RuntimeError(f"launch argument {word!r}: expected name:=value")
        pairs[name] = value
    return list(pairs.items())


def format_arguments(description: LaunchDescription) -> str:
    """Return the text that ``--show-args`` prints: each argument with description, choices and default."""
    lines = ["Arguments (pass arguments as '<name>:=<value>'):"]
    declared = {argument.name: argument for argument in description.get_launch_arguments()}
    for argument in declared.values():
        lines.append(f"\n    '{argument.name}':")
        lines.append(f"        {argument.description}")
        if argument.default_value is not None:
            default = "".join(part.describe() for part in argument.default_value)
            lines.append(f"        (default: {default})")
    if not declared:
        lines.append("\n  No arguments.")
    return "\n".join(lines)


def orderly_signals(shut_down: Callable[[], None], interactive: bool) -> type[AsyncSafeSignalManager]:
    """Return the launch service's signal manager with signals that end every process.

    By itself the service is killed by SIGTERM, its processes orphaned, and on SIGINT it trusts that
    the terminal sent the same SIGINT to the processes. Container runtimes, systemd and tests send
    one signal to one process: these are turned into a shutdown that interrupts the processes.
    """

    class OrderlySignals(AsyncSafeSignalManager):  # type: ignore[misc]
        def handle(
            self, signum: signal.Signals | int, handler: Callable[[int], None] | None
        ) -> Callable[[int], None] | None:
            if signum == signal.SIGTERM or (signum == signal.SIGINT and not interactive):
                return super().handle(signum, lambda _: shut_down())  # type: ignore[no-any-return]
            return super().handle(signum, handler)  # type: ignore[no-any-return]

    return OrderlySignals


def run(path: Path, arguments: list[tuple[str, str]], *, debug: bool, noninteractive: bool) -> int:
    """Run the launch file ``path`` until all its processes have ended; return the launch's exit code."""
    # The event loop hears of these signals through its wake-up descriptor, which needs a Python handler.
    # That handler does nothing: the default one would raise KeyboardInterrupt anywhere in the service.
    # It also undoes an ignored SIGINT, which a shell gives to background jobs and nodes would inherit.
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda signum, frame: None)
    service: LaunchService = LaunchService(
        argv=[f"{name}:={value}" for name, value in arguments], noninteractive=noninteractive, debug=debug
    )
    launch_service.AsyncSafeSignalManager = orderly_signals(
        lambda: service.shutdown(force_sync=True), interactive=sys.stdin is not None and sys.stdin.isatty()
    )
    service.include_launch_description(
        LaunchDescription(
            [IncludeLaunchDescription(AnyLaunchDescriptionSource(str(path)), launch_arguments=arguments)]
        )
    )
    code: int = service.run()
    return code
