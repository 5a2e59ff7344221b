"""Upload files with the vendor's SDK and its defaults, one after another: python sdk.py PROJECT [--timeout S] FILE…

It imports nothing of this package, because its start is measured too.
"""

import logging
import sys

import sevenbridges  # type: ignore[import-untyped]

project, *files = sys.argv[1:]
extra = {}
if files[0] == "--timeout":
    extra["timeout"] = float(files[1])
    del files[:2]
logging.getLogger("sevenbridges").setLevel(logging.CRITICAL)
api = sevenbridges.Api()
for path in files:
    upload = api.files.upload(path, project=project, **extra)
    if upload.result() is None:
        sys.exit(f"returned normally, status {upload.status}")
