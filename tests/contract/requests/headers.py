"""Headers and the lines of HTTP itself, over a raw socket: what clients' libraries refuse to send."""

from tests.contract.answer import TOKEN_HEADER, TRANSPORT, Answer
from tests.contract.requests.client import Claim, RawClient, claim

CLAIMS: list[Claim] = []
GET = "GET {v2}/rate_limit HTTP/1.1\nHost: {host}"


def _refused(answer: Answer, what: str) -> None:
    """A refusal or a closed connection; never a success, never a failure of the server. 505 refuses a version."""
    if answer.status and not 400 <= answer.status < 500 and answer.status not in (501, 505):
        raise answer.broken("malformed_http", f"{what} is refused, or the connection closed")


@claim(CLAIMS)
def header_names_in_any_case(raw: RawClient) -> None:
    """Header names are the same in any case."""
    for name in (TOKEN_HEADER.lower(), TOKEN_HEADER.upper(), "X-Sbg-Auth-Token"):
        raw.speak(f"{GET}\n{name}: {raw.target.token}", token=False).expect(200, check="header_case")


@claim(CLAIMS)
def bad_tokens(raw: RawClient) -> None:
    """A token that is wrong, cut, doubled, in another case or in another header lets nobody in."""
    token = raw.target.token
    for line in (
        f"{TOKEN_HEADER}: {token[:-1]}", f"{TOKEN_HEADER}: {token}0", f"{TOKEN_HEADER}: {token.swapcase()}",
        f"{TOKEN_HEADER}:",
        f"{TOKEN_HEADER}: {token},{token}", f"{TOKEN_HEADER}: {token} {token}", f"Authorization: Basic {token}",
        f"X-SBG-Auth_Token: {token}", f"X-Auth-Token: {token}", f"Cookie: {TOKEN_HEADER}={token}", f"{TOKEN_HEADER}: %",
    ):  # fmt: skip
        if line != f"{TOKEN_HEADER}: {token}":  # a token without letters has no other case
            raw.speak(f"{GET}\n{line}", token=False).expect(401, check="bad_tokens")
    head = f"GET {{v2}}/rate_limit?{TOKEN_HEADER}={token} HTTP/1.1\nHost: {{host}}"
    raw.speak(head, token=False).expect(401, check="bad_tokens")


@claim(CLAIMS, layer=TRANSPORT)
def two_tokens(raw: RawClient) -> None:
    """Two token headers, a good one and a bad one, do not make a server fail."""
    for pair in ((raw.target.token, "bad"), ("bad", raw.target.token)):
        answer = raw.speak("\n".join((GET, *(f"{TOKEN_HEADER}: {each}" for each in pair))), token=False)
        if answer.status >= 500:
            raise answer.broken("malformed_http", "two tokens are no reason to fail")


@claim(CLAIMS, layer=TRANSPORT)
def control_characters(raw: RawClient) -> None:
    """NUL, bare carriage returns and other control characters in head or target are refused."""
    _refused(raw.speak(GET + "\nX-Odd: a\x00b"), "NUL in a header")
    _refused(raw.speak("GET {v2}/rate_limit\x00 HTTP/1.1\nHost: {host}"), "NUL in the target")
    _refused(raw.speak("GET {v2}/rate\tlimit HTTP/1.1\nHost: {host}"), "a tab in the target")
    _refused(raw.speak("GET {v2}/rate_limit\x01 HTTP/1.1\nHost: {host}"), "a control character in the target")


@claim(CLAIMS, layer=TRANSPORT)
def odd_header_names(raw: RawClient) -> None:
    """A header whose name has a space in it, or that has none, is refused."""
    _refused(raw.speak(GET + "\nX Odd: 1"), "a space in a header's name")
    _refused(raw.speak(GET + "\n: 1"), "a header without a name")


@claim(CLAIMS, layer=TRANSPORT)
def odd_request_lines(raw: RawClient) -> None:
    """What is no request line of HTTP is refused."""
    for line in (
        "GET", "GET  HTTP/1.1", "G T {v2}/rate_limit HTTP/1.1", "\x16\x03\x01", "GET {v2}/rate_limit HTTP/1.1x",
    ):  # fmt: skip
        _refused(raw.speak(f"{line}\nHost: {{host}}"), repr(line))


@claim(CLAIMS, layer=TRANSPORT)
def unknown_version(raw: RawClient) -> None:
    """A version of HTTP that there is not is refused."""
    _refused(raw.speak("GET {v2}/rate_limit HTTP/9.9\nHost: {host}"), "HTTP/9.9")


@claim(CLAIMS, layer=TRANSPORT)
def lengths_that_contradict(raw: RawClient) -> None:
    """A body with two lengths, or with a length and chunks, is refused: either could smuggle a request in."""
    head = "POST {v2}/upload/multipart HTTP/1.1\nHost: {host}\nContent-Type: application/json"
    _refused(raw.speak(f"{head}\nContent-Length: 2\nContent-Length: 3", b"{} "), "two lengths")
    _refused(raw.speak(f"{head}\nContent-Length: 5\nTransfer-Encoding: chunked", b"0\r\n\r\n"), "a length and chunks")
    for odd in ("-1", "+2", "0x2", "2, 2", "two", "9" * 40):
        _refused(raw.speak(f"{head}\nContent-Length: {odd}", b"{}"), f"the length {odd}")


@claim(CLAIMS, layer=TRANSPORT)
def chunks_without_a_size(raw: RawClient) -> None:
    """A chunk without a size is refused."""
    head = "POST {v2}/upload/multipart HTTP/1.1\nHost: {host}\nContent-Type: application/json"
    _refused(raw.speak(f"{head}\nTransfer-Encoding: chunked", b"zz\r\n{}\r\n0\r\n\r\n"), "a chunk without a size")


@claim(CLAIMS)
def chunked_bodies(raw: RawClient) -> None:
    """A body in chunks is read like any other."""
    upload = raw.known.start()
    head = f"POST {{v2}}/upload/multipart/{upload.id} HTTP/1.1\nHost: {{host}}\nContent-Type: application/json"
    answer = raw.speak(f"{head}\nTransfer-Encoding: chunked", b'5\r\n{"par\r\n8\r\nts": []}\r\n0\r\n\r\n')
    answer.expect(200, check="chunked_bodies")


@claim(CLAIMS, layer=TRANSPORT)
def huge_heads(raw: RawClient) -> None:
    """A head that is far too large is refused, and the server goes on."""
    _refused(raw.speak(f"{GET}\nX-Odd: {'a' * 200_000}"), "a header of 200 kB")
    _refused(raw.speak(f"GET {{v2}}/rate_limit?{'a' * 200_000} HTTP/1.1\nHost: {{host}}"), "a target of 200 kB")
    raw.api.call("getRateLimit").expect(200)


@claim(CLAIMS)
def hosts_that_lie(raw: RawClient) -> None:
    """A `Host` header with markup or line breaks in it does not get into the links of an answer."""
    for host in ('x"><script>', "x/../y", "x%0d%0aSet-Cookie:a=b", "a b", ""):
        answer = raw.speak(f"GET {{v2}}/upload/multipart HTTP/1.1\nHost: {host}")
        if answer.status == 200 and host and host.encode() in answer.body:
            raise answer.broken("host_header", f"the host {host!r} stands in the answer")
        if answer.status >= 500 and not answer.by_gateway:
            raise answer.broken("host_header", "no host makes a server fail")


@claim(CLAIMS)
def empty_posts(raw: RawClient) -> None:
    """A POST without a length and without a body is answered immediately, not waited for."""
    upload = raw.known.start()
    answer = raw.speak(f"POST {{v2}}/upload/multipart/{upload.id}/complete HTTP/1.1\nHost: {{host}}")
    answer.expect(409, 411, check="empty_posts")
