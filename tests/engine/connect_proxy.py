"""A proxy that opens tunnels, with CONNECT or SOCKS 5."""

import asyncio
import base64
import contextlib
import ssl
import threading
from collections.abc import Sequence
from typing import Self


class ConnectProxy:
    """Listens on a free port of 127.0.0.1 inside a `with` block, with `tls` over TLS.

    It connects to this machine, whatever the requested host is. `credentials` are the required "user:password". `asked`
    are the requested targets, `read` is everything it could read: the heads of requests, and data outside of tunnels.
    The first requests get the bytes of `instead` and the end of the connection. `socks` makes it a SOCKS proxy.
    """

    def __init__(
        self,
        *,
        credentials: str | None = None,
        tls: ssl.SSLContext | None = None,
        instead: Sequence[bytes] = (),
        socks: bool = False,
    ) -> None:
        self.asked: list[str] = []
        self.read = b""
        self._wanted = b"Basic " + base64.b64encode(credentials.encode()) if credentials else None
        self._tls = tls
        self._instead = list(instead)
        self._socks = socks
        self._ready, self._loop = threading.Event(), asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    @property
    def url(self) -> str:
        """The value for HTTPS_PROXY, without credentials."""
        return f"{'socks5' if self._socks else 'https' if self._tls else 'http'}://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0, ssl=self._tls)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._socks:
            await self._answer_socks(reader, writer)
            return
        head = await reader.readuntil(b"\r\n\r\n")
        self.read += head
        method, target, _ = head.split(b" ", 2)
        if self._instead:
            self.asked.append(target.decode())
            writer.write(self._instead.pop(0))
        elif self._wanted is not None and self._wanted not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        elif method != b"CONNECT":
            writer.write(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
        else:
            self.asked.append(target.decode())
            port = int(target.decode().rpartition(":")[2])
            await self._connect(reader, writer, port, b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def _answer_socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(3)
        if self._instead:
            self.asked.append("")
            writer.write(self._instead.pop(0))
            return
        writer.write(b"\5\0")
        name = (await reader.readexactly(5))[4]
        target = await reader.readexactly(name + 2)
        port = int.from_bytes(target[name:], "big")
        self.asked.append(f"{target[:name].decode()}:{port}")
        await self._connect(reader, writer, port, b"\5\0\0\1" + bytes(6))

    async def _connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, answer: bytes
    ) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(answer)
            await asyncio.gather(_pour(reader, back), _pour(there, writer))
        finally:
            back.transport.abort()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while block := await reader.read(65536):
            writer.write(block)
            await writer.drain()
    writer.close()
