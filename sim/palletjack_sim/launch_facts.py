"""Prints what closed_loop.launch.py must know of a scenario, as JSON.

Example: python -m palletjack_sim.launch_facts head_on
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from palletjack_sim.autonomy import guard_config
from palletjack_sim.scenario import ScenarioError, load_scenario


def main(argv: list[str]) -> int:
    """Print the facts of the scenario named by ``argv``; 2 and one line on stderr where it is wrong."""
    if len(argv) != 1:
        print("expected one argument: a scenario", file=sys.stderr)
        return 2
    try:
        scenario = load_scenario(argv[0])
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 2
    is_killed = any(fault.kind == "detector_killed" for fault in scenario.faults)
    print(json.dumps({"guard": asdict(guard_config(scenario)), "detector_is_killed": is_killed}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
