"""`python -m cavatica_upload.cli` is `cavatica`."""

from cavatica_upload.cli import main

main()
