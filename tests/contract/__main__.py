"""python -m tests.contract run | live | mutants | replay"""

import argparse
import signal
import sys
import threading

from tests.contract.options import SEED, Options, UsageError, tidy_on_signals

ENVIRONMENT = """\
environment:
  BASE_URL, TOKEN, PROJECT, OTHER_TOKEN   the server, otherwise a mock
  SEED=<number>|random   repeat a run, or use another seed
  ONLY="raw model unit stateful forced"   some phases only
  REPORTS=reports        the folder for reports
  PROFILE=default        for live: a profile of the credentials file, in place of BASE_URL and TOKEN
  SHARE=0.5              for live: the part of the rate limit that may be used
  BASELINE=keep          for live: add the drifts found to drift-baseline.json; only others fail from then on
  BEHIND=nginx           for mutants: put the servers behind nginx

Exit code 0: nothing found. 1: findings, or a mutant that was not caught. 2: wrong usage. 130: interrupted.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m tests.contract", epilog=ENVIRONMENT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="the whole suite on a mock, or on BASE_URL with TOKEN")
    commands.add_parser("live", help="a careful visit to a live platform; needs PROJECT and a token")
    replay = commands.add_parser("replay", help="send the requests of a finding of the last run again")
    replay.add_argument("number")
    mutants = commands.add_parser("mutants", help="servers that are broken on purpose, each of which has to be caught")
    serve = mutants.add_subparsers(dest="action").add_parser("serve", help="serve one of them")
    serve.add_argument("name")
    serve.add_argument("--port", type=int, default=0)
    serve.add_argument("--seed", type=int, default=SEED)
    return parser


def _serve(name: str, seed: int, port: int) -> int:
    """Serve a mutant until interrupted."""
    from tests.contract.mutants import DEFECTS, proxy, run

    if name not in (run.UNBROKEN, *DEFECTS):
        raise UsageError(f"There is no mutant {name}. There are: {', '.join(sorted((run.UNBROKEN, *DEFECTS)))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that its folder is deleted
    with proxy.served(name, seed, port) as target:
        print(f"{name} ready: {target.base_url}", flush=True)
        threading.Event().wait()
    return 0


def main(arguments: list[str]) -> int:
    given = _parser().parse_args(arguments)
    try:
        tidy_on_signals()
        options = Options.read()
        options.check_command(given.command)
        if given.command == "replay":
            from tests.contract import reproduce

            return reproduce.replay(given.number, options)
        if given.command == "live":
            from tests.contract.live import run as live

            return live.run(options)
        if given.command == "mutants":
            from tests.contract.mutants import run as mutants

            return _serve(given.name, given.seed, given.port) if given.action else mutants.run(options)
        from tests.contract import suite

        return suite.run(options)
    except (UsageError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
