"""What MD5 costs: in SIMD lanes and by hashlib, for 1 to 16 parts at once.

    python -m bench.md5 [--mib N]

One thread a part hands over blocks as large as the uploader's workers do, but sends nothing. CPU seconds are what
counts for an upload; the speed is that of hashing alone.
"""

import argparse
import os
import threading
import time
from collections.abc import Callable

from cavatica_upload.engine.send_part import block_size
from cavatica_upload.md5.digest import HashlibDigest, PartDigest
from cavatica_upload.md5.library import load
from cavatica_upload.md5.pool import LaneDigest, Pool

PARTS = (1, 2, 3, 4, 8, 16)


def measure(make: Callable[[], PartDigest], parts: int, mib: int) -> tuple[float, float]:
    """MiB/s, and CPU seconds a GiB, of so many parts that are `mib` together."""
    size = block_size(parts, hashing=True)
    blocks = [os.urandom(size) for _ in range(16)]  # more than a core's own cache holds

    def work(number: int) -> None:
        part = make()
        for index in range((mib << 20) // size // parts):
            part.update(blocks[(index + number) % len(blocks)])
        part.hexdigest()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(parts)]
    wall, cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return mib / (time.perf_counter() - wall), (time.process_time() - cpu) * 1024 / mib


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.md5", description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=512, help="bytes hashed for each figure")
    mib = parser.parse_args().mib
    ways: dict[str, Callable[[], PartDigest]] = {"hashlib": HashlibDigest}
    library = load()
    if library is not None:
        pool = Pool(library)
        ways[f"lanes ({library.lanes})"] = lambda: LaneDigest(pool)
    print("| parts at once |" + "".join(f" {name} MiB/s | CPU-s/GiB |" for name in ways))
    print("|--:|" + "--:|--:|" * len(ways))
    for parts in PARTS:
        figures = (measure(make, parts, mib) for make in ways.values())
        print(f"| {parts} |" + "".join(f" {speed:,.0f} | {cpu:.2f} |" for speed, cpu in figures), flush=True)


if __name__ == "__main__":
    main()
