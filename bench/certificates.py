"""Certificates for a sink that speaks https."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Certificates:
    """Files: the authority that clients are told to trust, and the sink's own certificate with its key."""

    authority: str
    server: str

    @classmethod
    def make(cls, folder: Path) -> Self:
        """Write new ones into a folder."""
        import trustme

        made = cls(str(folder / "authority.pem"), str(folder / "server.pem"))
        authority = trustme.CA()
        authority.cert_pem.write_to_path(made.authority)
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(made.server)
        return made
