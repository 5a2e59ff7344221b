"""Patterns as in a shell, on names or paths: which files of a batch are wanted."""

import re
from collections.abc import Iterable, Sequence

import attrs


def translate(pattern: str) -> re.Pattern[str]:
    """Compile a pattern: `*` and `?` stay within a folder, `**` crosses folders, `[abc]` and `[!abc]` are sets.

    Upper and lower case differ, on every machine. A bracket that is never closed stands for itself.

    `glob.translate` of Python 3.13 does nearly the same and can replace this once 3.12 is not supported any more.
    """
    out = []
    at = 0
    while at < len(pattern):
        rest = pattern[at:]
        if rest.startswith("**/"):
            out.append("(?:[^/]+/)*")
            at += 3
        elif rest.startswith("**"):
            out.append(".*")
            at += 2
        elif rest[0] == "*":
            out.append("[^/]*")
            at += 1
        elif rest[0] == "?":
            out.append("[^/]")
            at += 1
        elif found := re.match(r"\[(!?)(\]?[^\]]*)\]", rest):
            inside = re.sub(r"([\\\[\]&~|^])", r"\\\1", found[2])
            out.append(f"(?!/)[{'^' if found[1] else ''}{inside}]")
            at += found.end()
        else:
            out.append(re.escape(rest[0]))
            at += 1
    try:
        return re.compile("".join(out), re.DOTALL)
    except re.error:  # a range such as [z-a]
        return re.compile(re.escape(pattern), re.DOTALL)


@attrs.frozen
class Selection:
    """The files that match an `include` pattern (any file, if there is none) and no `exclude` pattern.

    A pattern without a slash is compared with the name, at any depth; one with a slash with the path below the folder
    that was named. A folder that matches an `exclude` pattern is left out with all that is in it.
    """

    include: Sequence[re.Pattern[str]] = ()
    exclude: Sequence[re.Pattern[str]] = ()
    _paths: frozenset[re.Pattern[str]] = frozenset()

    @classmethod
    def of(cls, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> "Selection":
        """Compile patterns as they are written on the command line."""
        wanted = {pattern: translate(pattern.strip("/")) for pattern in (*include, *exclude)}
        deep = frozenset(compiled for pattern, compiled in wanted.items() if "/" in pattern.strip("/"))
        return cls([wanted[pattern] for pattern in include], [wanted[pattern] for pattern in exclude], deep)

    def takes(self, path: str) -> bool:
        """Whether a file is wanted; `path` has slashes between its folders on every machine."""
        return not self.leaves_out(path) and (not self.include or self._matches(self.include, path))

    def leaves_out(self, path: str) -> bool:
        """Whether a file or folder is excluded by its own name or path."""
        return self._matches(self.exclude, path)

    def _matches(self, patterns: Sequence[re.Pattern[str]], path: str) -> bool:
        name = path.rsplit("/", 1)[-1]
        return any(pattern.fullmatch(path if pattern in self._paths else name) for pattern in patterns)
