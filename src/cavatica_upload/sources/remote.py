"""A remote object as a source, read with fsspec (the extra `remote`) in ranges, and not stored on disk."""

from collections.abc import Callable, Iterator
from typing import Any

from cavatica_upload.disk import Identity
from cavatica_upload.errors import ConfigError, SourceError
from cavatica_upload.plan import count_text
from cavatica_upload.redact import scrub
from cavatica_upload.sources.local import usual_block

RANGE = 2 * 1024 * 1024  # bytes of one request; 32 threads have 64 MiB in memory
_TAGS = ("ETag", "etag", "generation", "md5Hash", "LastModified", "last_modified", "updated", "mtime")
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp"}


def missing_package(url: str) -> str | None:
    """Return a sentence about the package that is missing to open a URL, None if none is."""
    protocol = url.partition("://")[0].split("::")[0].lower()
    try:
        from fsspec.registry import get_filesystem_class
    except ImportError:
        return "URLs need the package fsspec, which is not installed: pip install fsspec"
    try:
        get_filesystem_class(protocol)
    except ImportError as error:
        return (
            f"{protocol}:// needs a package that is not installed. {error}: pip install {_PACKAGES.get(protocol, '…')}"
        )
    except ValueError:
        return f"{protocol}:// is not a supported kind of URL."
    return None


def _http_options() -> dict[str, Any]:
    from fsspec.config import apply_config
    from fsspec.registry import get_filesystem_class

    headers = apply_config(get_filesystem_class("https"), {}).get("headers", {})  # the user's, which ours would replace
    # A server that compresses an answer sends no range of the file.
    return {"headers": {**headers, "Accept-Encoding": "identity"}}


class RemoteFile:
    """An object of any store that fsspec knows: `s3://` needs s3fs installed, `gs://` gcsfs."""

    def __init__(self, url: str) -> None:
        if problem := missing_package(url):
            raise ConfigError(problem)
        from fsspec.core import url_to_fs

        self._shown = scrub(url)
        self._is_http = self._shown.startswith(("http:", "https:"))
        try:
            options = _http_options() if self._is_http else {}
            # Without a cache of listings, so that a change is noticed.
            self._fs, self._path = url_to_fs(url, use_listings_cache=False, **options)
        except (ImportError, ValueError) as error:
            raise ConfigError(f"{self._shown} cannot be opened: {scrub(str(error))}") from error
        except Exception as error:  # some stores connect at once, and every store has its own tree of exceptions
            raise SourceError(f"{self._shown} cannot be reached: {scrub(str(error))}.") from error
        self.name: str | None = self._path.split("?")[0].rstrip("/").rsplit("/", 1)[-1] or None
        self.identity: Identity | None = self.look()
        self.size: int | None = self.identity.size
        if self._is_http and self.size > RANGE:
            self._check_ranges()

    def _check_ranges(self) -> None:
        """Raise SourceError if an HTTP server answers each range with the whole file, which would be in memory."""
        try:
            with self._fs.open(self._path, cache_type="none", size=self.size) as file:
                file.seek(1)
                file.read(1)
        except ValueError as error:  # fsspec raises it before it reads the answer
            raise self._lacks("ranges of it") from error
        except Exception as error:  # every store has its own tree of exceptions
            raise self._unread(error) from error

    def _unread(self, error: Exception) -> SourceError:
        return SourceError(f"{self._shown} could not be read: {scrub(str(error))}.")

    def _lacks(self, what: str) -> SourceError:
        return SourceError(
            f"The server of {self._shown} does not return {what}.",
            "Pipe it in instead: `curl … | cavatica upload - --name NAME`.",
        )

    def look(self) -> Identity:
        try:
            self._fs.invalidate_cache()
            info: dict[str, Any] = self._fs.info(self._path)
        except Exception as error:  # every store has its own tree of exceptions
            # Of HTTP servers, fsspec reports every failure as a missing file, with the failure as its cause.
            cause = error.__cause__ or error
            http = self._is_http and cause is not error
            if isinstance(error, FileNotFoundError) and (not http or getattr(cause, "status", None) == 404):
                raise SourceError(f"{self._shown} does not exist.", "Check the URL.") from error
            raise SourceError(f"{self._shown} cannot be reached: {scrub(str(cause))}.") from error
        if info.get("type", "file") != "file":
            raise SourceError(f"{self._shown} is not a file.")
        if info.get("size") is None or info.get("partial") is False:  # the second is what fsspec says of HTTP servers
            raise self._lacks("its size" if info.get("size") is None else "ranges of it")
        tag = next((f"{key}:{info[key]}" for key in _TAGS if info.get(key)), "")
        return Identity(path=self._shown, size=int(info["size"]), tag=tag)

    def blocks(
        self,
        offset: int,
        size: int,
        block: Callable[[], int] = usual_block,  # noqa: ARG002 - a call a block: these are large
    ) -> Iterator[bytes]:
        """Yield the bytes of a range; raises SourceError if the store returns something else."""
        end = offset + size
        while offset < end:
            count = min(RANGE, end - offset)
            try:
                found: bytes = self._fs.cat_file(self._path, start=offset, end=offset + count)
            except Exception as error:  # every store has its own tree of exceptions
                raise self._unread(error) from error
            if len(found) != count:
                raise SourceError(
                    f"{self._shown} returned {count_text(len(found), 'byte')} instead of {count:,} at byte {offset:,}.",
                    "Make sure that nothing writes to it, then run the same command again.",
                )
            yield found
            offset += count

    def close(self) -> None:
        """There is nothing to close."""
