"""The real mock behind a proxy that breaks one thing, in this process.

python -m tests.contract mutants serve NAME [--port PORT] [--seed SEED]
"""

import asyncio
import contextlib
import sys
import threading
from collections.abc import Iterator, Sequence

from cavatica_mock import MockServer
from tests.contract.mutants import DEFECTS
from tests.contract.mutants.proxy import no_defect, serve
from tests.contract.options import SEED, UsageError
from tests.contract.server import OTHER_TOKEN, PART_SIZE, PROJECT, READ_ONLY, TOKEN, Target, again, of_mock

UNBROKEN = "none"


@contextlib.contextmanager
def served(name: str, seed: int, port: int = 0) -> Iterator[Target]:
    """The mock with this defect, for the length of the block."""
    broken = no_defect if name == UNBROKEN else DEFECTS[name]
    mock = MockServer(
        tokens=(TOKEN, OTHER_TOKEN),
        rate_limit=(9_000_000, 3600),
        seed=seed,
        projects={PROJECT: True, READ_ONLY: False},
        part_size=PART_SIZE,
    )
    ready, ports = threading.Event(), list[int]()
    loop = asyncio.new_event_loop()

    def note(bound: int) -> None:
        ports.append(bound)
        ready.set()

    def work() -> None:
        asyncio.set_event_loop(loop)
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        ready.set()
        left = asyncio.all_tasks(loop)
        for each in left:
            each.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()

    with mock:
        task = loop.create_task(serve(mock.origin, broken, note, port))
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        ready.wait()
        if not ports:
            thread.join()
            raise UsageError(f"Port {port} cannot be used.")
        start = [sys.executable, "-m", "tests.contract", "mutants", "serve", name, "--seed", str(seed)]
        try:
            yield of_mock(f"http://127.0.0.1:{ports[0]}/v2", again(start))
        finally:
            loop.call_soon_threadsafe(task.cancel)
            thread.join()


def main(arguments: Sequence[str]) -> int:
    """Serve until interrupted."""
    rest, options = [], {"--port": 0, "--seed": SEED}
    words = iter(arguments)
    for word in words:
        value = next(words, "") if word in options else ""
        if word not in options:
            rest.append(word)
        elif value.isdigit():
            options[word] = int(value)
        else:
            raise UsageError(f"{word} takes a number, not {value!r}.")
    if len(rest) != 1 or rest[0] not in (UNBROKEN, *DEFECTS):
        names = ", ".join(sorted(DEFECTS))
        raise UsageError(f"Name one mutant, or `{UNBROKEN}`: python -m tests.contract mutants serve NAME\n{names}")
    with served(rest[0], options["--seed"], options["--port"]) as target:
        print(f"{rest[0]} ready: {target.base_url}", flush=True)
        threading.Event().wait()
    return 0
