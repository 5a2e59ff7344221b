"""python -m tests.contract.mutants NAME SEED: the real mock behind a proxy with this defect."""

import asyncio
import contextlib
import signal
import sys

from cavatica_mock import MockServer
from tests.contract.mutants import DEFECTS
from tests.contract.mutants.proxy import no_defect, serve
from tests.contract.server import OTHER_TOKEN, PART_SIZE, PROJECT, READ_ONLY, TOKEN


def main(name: str, seed: int) -> None:
    broken = no_defect if name == "none" else DEFECTS[name]
    mock = MockServer(
        tokens=(TOKEN, OTHER_TOKEN),
        rate_limit=(9_000_000, 3600),
        seed=seed,
        projects={PROJECT: True, READ_ONLY: False},
        part_size=PART_SIZE,
    )

    async def run() -> None:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await serve(mock.origin, broken, lambda port: print(f"{name} ready: http://127.0.0.1:{port}/v2", flush=True))

    with mock, contextlib.suppress(asyncio.CancelledError, KeyboardInterrupt):
        asyncio.run(run())


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
