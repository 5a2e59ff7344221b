"""What a second run sends after the first was killed in the middle.

At the kill as many parts are under way as ever were. Storage sees fewer for a moment: a part whose answer is on its way
back, or not written down yet, has arrived there, and is sent again all the same.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

from bench.files import write_file
from bench.harness import Sink, finish, spawn
from bench.tables import MIB, Table

PART = 8 * MIB
RATE = 20 * MIB  # bytes a second on one connection, so that half is not over too soon


def kill_and_resume(size: int) -> tuple[Table, dict[str, Any]]:
    """Kill -9 when storage has half of the file, then the same upload again."""
    table = Table(
        f"Killed with SIGKILL at half of {size / MIB:.0f} MiB, then run again (parts of {PART / MIB:.0f} MiB)",
        ["client", "MiB received before", "most parts in flight", "MiB received in the second run",
         "parts sent twice", "outcome"],
    )  # fmt: skip
    raw = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = write_file(Path(folder) / "file", size)
        for client in ("ours", "sdk"):
            with Sink(file, f"--part-size={PART}", f"--rate={RATE}") as sink:
                first = spawn(client, sink, f"--state={folder}/{client}")
                while (stats := sink.stats())["bytes_received"] < size // 2 and first.poll() is None:
                    time.sleep(0.01)
                first.kill()
                first.communicate()
                before = sink.settle()
                again = spawn(client, sink, f"--state={folder}/{client}")
                second = finish(client, sink, again, since=before["bytes_received"])
                after = sink.stats()
            sent_twice = after["calls"]["putPart"] - -(-size // PART)
            table.add(
                client,
                f"{before['bytes_received'] / MIB:.1f}",
                str(before["max_in_flight"]),
                f"{second.bytes_received / MIB:.1f}",
                str(sent_twice),
                "whole" if second.whole else f"{second.outcome}: {second.said}",
            )
            raw.append({"client": client, "killed": stats, "settled": before, "second": second.as_json(), "end": after})
    return table, {"setting": table.title, "runs": raw}
