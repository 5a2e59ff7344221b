"""python -m tests.contract run | live | mutants"""

import sys

from tests.contract.options import Options, UsageError

USAGE = """\
python -m tests.contract run|live|mutants

run      the whole suite on a mock, or on BASE_URL with TOKEN (and PROJECT, OTHER_TOKEN)
live     a careful look at a live platform: needs PROJECT, and a token as `cavatica` finds it (or BASE_URL and TOKEN)
mutants  servers that are broken on purpose, each of which has to be caught

SEED=<number>|random   repeats a run, or takes another   ONLY="unit stateful model raw forced"   some phases only
SHARE=0.5              of the rate limit, for live        REPORTS=reports                         where reports go

Exit code 0: nothing found. 1: findings, or a mutant that was not caught. 2: the command is not right. 130: interrupted.
"""


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in ("run", "live", "mutants"):
        print(USAGE, end="", file=sys.stdout if arguments[:1] in (["--help"], ["-h"]) else sys.stderr)
        return 0 if arguments[:1] in (["--help"], ["-h"]) else 2
    try:
        options = Options.read()
        if arguments[0] == "live":
            from tests.contract.live import run as live

            return live.run(options)
        if arguments[0] == "mutants":
            from tests.contract.mutants import run as mutants

            return mutants.run(options)
        from tests.contract import suite

        return suite.run(options)
    except (UsageError, RuntimeError) as error:
        print(f"{error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
