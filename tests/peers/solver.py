"""Z3 on SMT-LIB scripts: one JSON string a line in, `sat`, `unsat` or `unknown` a line out.

The limit counts steps, so that an answer does not depend on how fast or busy the machine is."""

import json
import sys

import z3

LIMIT = 4_000_000

for line in sys.stdin:
    solver = z3.Solver()
    solver.set("rlimit", LIMIT)
    solver.from_string(json.loads(line))
    print(solver.check(), flush=True)
