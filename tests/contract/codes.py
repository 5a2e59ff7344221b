"""The platform's error codes with the HTTP status that each comes with.

From the published table (docs.cavatica.org, API status codes), as far as it concerns uploads, files and projects.
Written down here a second time on purpose: the suite judges a server, it does not ask one.
"""

from typing import Final

HTTP_STATUS: Final[dict[int, int]] = {
    0: 503,
    1000: 429,
    **dict.fromkeys((3001, 5001, 5008, 8001, 8002, 90002), 403),
    **dict.fromkeys((3002, 5002, 5026, 8003, 8004, 90003), 404),
    **dict.fromkeys((3012, 5004, 5005, 5022, 5024, 5029, 5031, 5033), 400),
    **dict.fromkeys((8010, 8011, 8012, 8013, 8014, 8015, 90000), 400),
    **dict.fromkeys((5003, 5030, 8005, 8006, 8007, 8008, 8009, 90007), 409),
    **dict.fromkeys((5000, 8000, 90004, 90005), 503),
    90001: 401,
    90006: 405,
    90008: 415,
    90009: 500,
    90010: 501,
}

# What a refusal of one situation has to be recognisable by, whatever the server: these the clients act on.
NO_SUCH_UPLOAD: Final = 8003
NOT_COMPLETE: Final = 8007
NAME_TAKEN: Final = frozenset({5003, 8005, 8006})
BAD_PART_NUMBER: Final = frozenset({8012, 8014, 8015, 90000})
