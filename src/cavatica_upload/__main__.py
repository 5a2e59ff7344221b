"""`python -m cavatica_upload` is `cavatica`."""

from cavatica_upload.cli import main

if __name__ == "__main__":
    main()
