"""python -m tests.contract run | live | mutants | replay"""

import sys

from tests.contract.options import Options, UsageError

USAGE = """\
python -m tests.contract run|live|mutants|replay NUMBER

run      the whole suite on a mock, or on BASE_URL with TOKEN (and PROJECT, OTHER_TOKEN)
live     a careful look at a live platform: needs PROJECT, and a token as `cavatica` finds it (or BASE_URL and TOKEN)
mutants  servers that are broken on purpose, each of which has to be caught
         mutants serve NAME [--port PORT] serves one of them
replay   sends the requests of a finding of the last run again, by its number

SEED=<number>|random   repeats a run, or takes another   ONLY="unit stateful model raw forced"   some phases only
SHARE=0.5              of the rate limit, for live        REPORTS=reports                         where reports go
BASELINE=keep   live: keep the drifts that are seen in drift-baseline.json; only others fail from then on

Exit code 0: nothing found. 1: findings, or a mutant that was not caught. 2: the command is not right. 130: interrupted.
"""


def main(arguments: list[str]) -> int:
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    taken = {"run": 0, "live": 0, "mutants": 0, "replay": 1}.get(command)
    if command == "mutants" and rest[:1] == ["serve"]:
        taken = len(rest)
    if taken != len(rest):
        asked = command in ("--help", "-h")
        print(USAGE, end="", file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    try:
        options = Options.read()
        if command == "replay":
            from tests.contract import reproduce

            return reproduce.replay(rest[0], options)
        if command == "live":
            from tests.contract.live import run as live

            return live.run(options)
        if command == "mutants":
            if rest:
                from tests.contract.mutants import serve

                return serve.main(rest[1:])
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
