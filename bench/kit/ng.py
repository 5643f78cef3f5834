"""As much of rtpengine's ng control protocol as it takes to relay calls."""

import re
import secrets
import socket

from kit import addresses


class Control:
    def __init__(self, address):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(address)
        self._socket.settimeout(5)

    def relay(self, call):
        """Has it relay call number `call`; gives the two lines of rtpgen's map."""
        port = addresses.MEDIA_PORT + 2 * call
        common = {
            "call-id": f"bench-{secrets.token_hex(8)}",
            "from-tag": "caller",
            "ICE": "remove",
            "replace": ["origin", "session-connection"],
        }
        offer = self._ask(command="offer", sdp=_sdp(addresses.CALLER_MEDIA, port), **common)
        answer = self._ask(command="answer", sdp=_sdp(addresses.CALLEE_MEDIA, port), **common, **{"to-tag": "callee"})
        yield f"{addresses.CALLER_MEDIA} {port} {_address(answer)}"
        yield f"{addresses.CALLEE_MEDIA} {port} {_address(offer)}"

    def _ask(self, **order):
        cookie = secrets.token_hex(6).encode()
        self._socket.send(cookie + b" " + _encode(order))
        reply = _decode(self._socket.recv(65536).split(b" ", 1)[1])[0]
        if reply.get(b"result") != b"ok":
            raise RuntimeError(f"rtpengine: {reply}")
        return reply[b"sdp"].decode()


def _sdp(host, port):
    lines = [
        "v=0",
        f"o=- 1 1 IN IP4 {host}",
        "s=-",
        f"c=IN IP4 {host}",
        "t=0 0",
        f"m=audio {port} RTP/AVP 0",
        "a=rtpmap:0 PCMU/8000",
        "a=sendrecv",
    ]
    return "".join(line + "\r\n" for line in lines)


def _address(sdp):
    host, port = re.search(r"c=IN IP4 (\S+)", sdp).group(1), re.search(r"m=audio (\d+)", sdp).group(1)
    return f"{host} {port}"


def _encode(value):
    """Bencoding."""
    if isinstance(value, dict):
        return b"d" + b"".join(_encode(key) + _encode(value[key]) for key in sorted(value)) + b"e"
    if isinstance(value, list):
        return b"l" + b"".join(map(_encode, value)) + b"e"
    text = value.encode()
    return b"%d:%s" % (len(text), text)


def _decode(data, at=0):
    """The value at a place, and the place after it."""
    kind = data[at : at + 1]
    if kind == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if kind in (b"l", b"d"):
        items, at = [], at + 1
        while data[at : at + 1] != b"e":
            item, at = _decode(data, at)
            items.append(item)
        return (items if kind == b"l" else dict(zip(items[::2], items[1::2]))), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1 : end], end
