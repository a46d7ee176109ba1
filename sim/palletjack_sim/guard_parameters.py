"""Prints the guard's parameters for a scenario's robot as JSON: closed_loop.launch.py reads them.

Example: python -m palletjack_sim.guard_parameters head_on
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from palletjack_sim.autonomy import guard_config
from palletjack_sim.scenario import ScenarioError, load_scenario


def main(argv: list[str]) -> int:
    """Print the parameters of the scenario named by ``argv``; 2 and one line on stderr where it is wrong."""
    if len(argv) != 1:
        print("expected one argument: a scenario", file=sys.stderr)
        return 2
    try:
        scenario = load_scenario(argv[0])
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(asdict(guard_config(scenario))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
