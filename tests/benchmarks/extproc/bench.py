"""What an endpoint picker costs: measure it, alone or next to the floor, and print the tables."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import replace
from pathlib import Path

from cells import Bench, OutOfTimeError, Target
from processes import end_on_sigterm
from run import add_arguments, add_common_arguments, build, settings_of, side_by_side
from table import read, tables


def add_cells_arguments(parser: argparse.ArgumentParser) -> None:
    add_common_arguments(parser)
    parser.add_argument("--name", required=True, help="of the picker in the results")
    parser.add_argument(
        "--cmd",
        required=True,
        help="its shell command; $PORT, $ENDPOINTS, $CONFIG, $HEALTH_PORT, $METRICS_PORT,"
        " $SIM_PORT, $N, $BIN and $WORK are replaced",
    )
    parser.add_argument(
        "--config", type=Path, help="template of its configuration; the filled one is $CONFIG"
    )
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--settle", type=float, default=1.5, help="seconds from port to load")
    parser.add_argument("--rate-x", type=float, default=1.0, help="times the rates of `requests`")
    parser.add_argument("--drive", default="", help="more flags for the driver")


def cells(arguments: argparse.Namespace) -> None:
    """Lines are added to --out, so that several pickers can be put side by side."""
    build()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    settings = replace(
        settings_of(arguments),
        settle_seconds=arguments.settle,
        rate_factor=arguments.rate_x,
        driver_flags=tuple(shlex.split(arguments.drive)),
    )
    config = arguments.config.read_text() if arguments.config else None
    target = Target(arguments.name, arguments.cmd, config)
    try:
        for repeat in range(arguments.repeats):
            Bench(settings, target, repeat).run(arguments.cells or ["max", "light", "idle"])
    except OutOfTimeError:
        sys.exit(f"stopped after {arguments.limit_minutes:g} minutes")


def table(arguments: argparse.Namespace) -> None:
    print(tables(read(arguments.files)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("run", help="our picker next to nullepp, then the tables")
    add_arguments(command)
    command.set_defaults(do=side_by_side)
    command = commands.add_parser("cells", help="any picker, given by its command")
    add_cells_arguments(command)
    command.set_defaults(do=cells)
    command = commands.add_parser("table", help="JSON lines as Markdown")
    command.add_argument("files", type=Path, nargs="+")
    command.set_defaults(do=table)
    arguments = parser.parse_args()
    end_on_sigterm()
    arguments.do(arguments)


if __name__ == "__main__":
    main()
