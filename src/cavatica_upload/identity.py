"""The identity of a source, which tells whether its upload can be resumed."""

import attrs


@attrs.frozen
class Identity:
    """The identity of a source. If it is the same as before, the bytes are the same.

    For a file on disk it is the device, inode, size in bytes, and the times of the last write and of the last change in
    nanoseconds; no program can set back the second. For a remote object it is the size and `tag`, which is the ETag,
    generation or time that its store gives.
    """

    path: str
    size: int
    device: int = 0
    inode: int = 0
    mtime_ns: int = 0
    ctime_ns: int = 0
    tag: str = ""

    def same_as(self, other: "Identity") -> bool:
        """Return whether the bytes are certainly unchanged; if not, only reading them can tell.

        The number of a device may change with a reboot (network and logical volumes); then the path must agree.
        """
        return (self.size, self.inode, self.mtime_ns, self.ctime_ns, self.tag) == (
            other.size,
            other.inode,
            other.mtime_ns,
            other.ctime_ns,
            other.tag,
        ) and (self.device == other.device or self.path == other.path)

    def difference(self, other: "Identity") -> str:
        """Return in a few words how `other`, the later identity, differs."""
        if self.size != other.size:
            return f"its size went from {self.size:,} to {other.size:,} bytes"
        if self.mtime_ns != other.mtime_ns:
            return "its modification time has changed"
        if self.inode != other.inode:
            return "it was replaced by another file"
        return "it was written to, or its owner or permissions changed"
