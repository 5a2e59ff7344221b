"""MD5 of parts, taken from the bytes as they are sent.

`new_digest()` gives a `PartDigest`; feed it the blocks of one part in order, then ask for `hexdigest()`.
"""

from cavatica_upload.md5.digest import PartDigest, implementation, new_digest

__all__ = ["PartDigest", "implementation", "new_digest"]
