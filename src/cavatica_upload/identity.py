"""What makes a source the same as before, so that its upload can be resumed."""

import attrs


@attrs.frozen
class Identity:
    """What makes a source the same as before: an upload is resumed only for an equal one.

    Of a file on disk its device, inode, size, and the times of its last write and of its last change (which nobody can
    set back), in nanoseconds; of a remote object its size and `tag` (ETag, generation or time, whatever its store
    gives).
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
        """Return in a few words how `other`, seen later, differs."""
        if self.size != other.size:
            return f"its size went from {self.size:,} to {other.size:,} bytes"
        if self.mtime_ns != other.mtime_ns:
            return "its modification time has changed"
        if self.inode != other.inode:
            return "it was replaced by another file"
        return "it was written to, or its owner or permissions changed"
