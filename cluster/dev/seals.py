"""Reads `conclave status --output json`; prints the number and the seal of each node that answered."""

import json
import sys


def main() -> None:
    try:
        nodes = json.load(sys.stdin)["nodes"]
    except ValueError:
        return  # nothing was printed: no node answers yet
    for node in nodes:
        if node.get("reachable"):
            print(node["node_id"], node["seal"])


main()
