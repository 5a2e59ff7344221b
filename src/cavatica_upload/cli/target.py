"""Where a run's files go: a project or a folder, and below it a path of folders."""

import attrs

from cavatica_upload.batch.names import folder_problems
from cavatica_upload.destination import Destination
from cavatica_upload.errors import UsageError


@attrs.frozen
class Target:
    """A destination that is there, and the path of a folder below it, `""` for none."""

    destination: Destination
    folder: str = ""

    @classmethod
    def parse(cls, project: str | None, parent: str | None) -> "Target":
        """Read --project (`owner/name`, with folders behind it where wanted) or --parent; raises UsageError."""
        if (project is None) == (parent is None):
            raise UsageError(
                "Say where the files go: " + ("--project or --parent, not both." if project else "nothing was given."),
                "Use --project owner/name, --project owner/name/folder, or --parent with the id of a folder.",
            )
        if project is None:
            return cls(Destination(parent=parent))
        owner, _, rest = project.removesuffix("/").partition("/")
        name, *folders = rest.split("/")
        destination = Destination(project=f"{owner}/{name}" if rest else owner)
        for folder in folders:
            for wrong in folder_problems(folder):
                raise UsageError(f"{folder!r} in --project cannot be a folder: {wrong}")
        return cls(destination, "/".join(folders))

    def path(self, folder: str) -> str:
        """Return the path from the destination on of a folder of the batch."""
        return "/".join(part for part in (self.folder, folder) if part)

    def __str__(self) -> str:
        return f"{self.destination}/{self.folder}" if self.folder else str(self.destination)
