#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The traffic of capture.sh: who speaks, what is said, and how the capture becomes the trace.

traffic.py addresses client|server   the addresses and routes of a side, as a batch for ip(8)
traffic.py serve                     the server: HTTP, echo, DNS, a UDP sink
traffic.py ask [SHARE]               the clients; with SHARE, one errand of so many
traffic.py finish RAW TRACE          orders and pads the captured frames
traffic.py relay CLIENT SERVER DIR   carries frames between two devices, a millisecond each way, until it is stopped; then
                                     DIR has what each side sent

Every packet comes out of the kernel's own stack; this only opens sockets. What is asked, by whom and in which order
follows from a fixed seed; the interleaving and the times are the machine's.
"""
import asyncio
import collections
import concurrent.futures
import ipaddress
import random
import signal
import socket
import struct
import sys
import time

SEED = 1

# Clients by kind of attachment; see tag.bpf.c for the tags.
PLAIN = [f"192.0.2.{host}" for host in range(10, 42)]
TAGGED = [f"203.0.113.{host}" for host in range(10, 18)]
TWICE_TAGGED = [f"203.0.113.{host}" for host in range(140, 144)]
PLAIN6 = [f"2001:db8:1::{host:x}" for host in range(0x10, 0x20)]
TAGGED6 = [f"2001:db8:2::{host:x}" for host in range(0x10, 0x14)]
SCANNERS = ["192.0.2.13", "192.0.2.37", "203.0.113.12"]

WEB, WEB2, NAMES = "198.51.100.10", "198.51.100.11", "198.51.100.53"
WEB6, NAMES6 = "2001:db8:100::10", "2001:db8:100::53"

ECHO, DNS, HTTP, SINK, HTTP_ALT = 7, 53, 80, 514, 8080
CLOSED = [22, 23, 445, 3389]

SO_NO_CHECK = 11  # asm-generic/socket.h: send UDP without a checksum

# Router alert (RFC 2113); record route (RFC 791) with room for two addresses, and a no-operation.
IP_OPTIONS = [bytes([148, 4, 0, 0]), bytes([7, 11, 4]) + bytes(8) + bytes([1])]


def addresses(side):
    if side == "client":
        for address in PLAIN + TAGGED + TWICE_TAGGED:
            print(f"address add {address}/24 dev c0")
        for address in PLAIN6 + TAGGED6:
            print(f"address add {address}/64 dev c0 nodad")
        print("route add 198.51.100.0/24 via 192.0.2.1")
        print("route add 2001:db8:100::/64 via 2001:db8:1::1")
    else:
        # The server's device takes longer frames than the clients' (see capture.sh), so the routes set the size.
        for address, length in (("192.0.2.1", 24), ("203.0.113.1", 24), ("2001:db8:1::1", 64), ("2001:db8:2::1", 64)):
            nodad = "nodad" if ":" in address else ""
            network = ipaddress.ip_interface(f"{address}/{length}").network
            print(f"address add {address}/{length} dev s0 noprefixroute {nodad}")
            print(f"route add {network} dev s0 mtu 1500")
        for address in (WEB, WEB2, NAMES):
            print(f"address add {address}/32 dev lo")
        for address in (WEB6, NAMES6):
            print(f"address add {address}/128 dev lo nodad")


def filler(length):
    """Text to fill a message with."""
    line = b"The quick brown fox jumps over the lazy dog. 0123456789\r\n"
    return (line * (length // len(line) + 1))[:length]


# DNS (RFC 1035; EDNS: RFC 6891).

A, NS, PTR, MX, TXT, AAAA, OPT = 1, 2, 12, 15, 16, 28, 41
HOSTS = ["www", "mail", "ns1", "api", "static-assets", "a.very.long.name.of.a.host", "x"]
DOMAINS = ["example.com", "example.net", "example.org", "missing.example.com"]


def labels(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def dns_query(rng, number):
    host, domain, kind = rng.choice(HOSTS), rng.choice(DOMAINS), rng.choice([A, A, A, AAAA, AAAA, MX, TXT, NS, PTR])
    name = "10.100.51.198.in-addr.arpa" if kind == PTR else f"{host}.{domain}"
    edns = rng.random() < 0.5
    message = struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, int(edns)) + labels(name) + struct.pack("!HH", kind, 1)
    return message + (b"\0" + struct.pack("!HHIH", OPT, 1232, 0, 0) if edns else b"")


def dns_answer(query, stream):
    number, _, _, _, _, extra = struct.unpack_from("!HHHHHH", query)
    end = query.index(b"\0", 12) + 5
    name, (kind,) = query[12 : end - 4], struct.unpack_from("!H", query, end - 4)
    data = {
        A: socket.inet_aton(WEB),
        AAAA: socket.inet_pton(socket.AF_INET6, WEB6),
        NS: labels("ns1.example.com"),
        PTR: labels("www.example.com"),
        MX: struct.pack("!H", 10) + labels("mail.example.com"),
        TXT: b"".join(bytes([250]) + filler(250) for _ in range(3)),
    }.get(kind)
    code = 3 if b"\x07missing" in name else 0
    records = b""
    if data is not None and code == 0:
        records = struct.pack("!HHHIH", 0xC00C, kind, 1, 300, len(data)) + data
    truncated = not stream and len(records) + end > (1232 if extra else 512)
    if truncated:
        records = b""
    flags = 0x8580 | (0x0200 if truncated else 0) | code
    return struct.pack("!HHHHHH", number, flags, 1, int(bool(records)), 0, 0) + query[12:end] + records


# The server.


async def http(reader, writer):
    """GET /N answers N bytes, POST /N answers after N bytes; `Connection: close` makes the server close first."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            method, path, _ = head.split(b" ", 2)
            size = int(path[1:])
            if method == b"POST":
                await reader.readexactly(size)
                size = 2
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + filler(size))
            await writer.drain()
            if b"Connection: close" in head:
                break
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


async def echo(reader, writer):
    try:
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


async def dns_stream(reader, writer):
    try:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        answer = dns_answer(await reader.readexactly(length), stream=True)
        writer.write(struct.pack("!H", len(answer)) + answer)
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


class Names(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(dns_answer(data, stream=False), addr)


async def serve():
    loop = asyncio.get_running_loop()
    for host in (WEB, WEB2, WEB6):
        for port, handler in ((HTTP, http), (HTTP_ALT, http), (ECHO, echo)):
            await asyncio.start_server(handler, host, port, backlog=512)
        await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=(host, SINK))
    for host in (NAMES, NAMES6):
        await asyncio.start_server(dns_stream, host, DNS, backlog=512)
        await loop.create_datagram_endpoint(Names, local_addr=(host, DNS))
    print("ready", flush=True)
    await asyncio.Event().wait()


# The clients: each function is one errand from one source address.


def family(source):
    return socket.AF_INET6 if ":" in source else socket.AF_INET


def opened(source, kind, options=b"", protocol=0):
    sock = socket.socket(family(source), kind, protocol)
    sock.settimeout(5)
    if options:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, options)
    sock.bind((source, 0))
    return sock


def web_of(source, rng):
    return WEB6 if ":" in source else rng.choice([WEB, WEB, WEB, WEB2])


def received(sock, length):
    while length > 0:
        data = sock.recv(min(length, 65536))
        if not data:
            raise ConnectionError("closed early")
        length -= len(data)


def response(sock):
    head = b""
    while b"\r\n\r\n" not in head:
        data = sock.recv(4096)
        if not data:
            raise ConnectionError("closed early")
        head += data
    head, body = head.split(b"\r\n\r\n", 1)
    received(sock, int(head.rsplit(b" ", 1)[1]) - len(body))


def browse(source, rng, options=b""):
    """One to four requests on one connection; either side may close first."""
    with opened(source, socket.SOCK_STREAM, options) as sock:
        sock.connect((web_of(source, rng), rng.choice([HTTP, HTTP, HTTP, HTTP_ALT])))
        requests = rng.choice([1, 1, 1, 1, 2, 3, 4])
        for last in [False] * (requests - 1) + [rng.random() < 0.5]:
            size = min(int(rng.paretovariate(0.7)), 20000)
            close = "Connection: close\r\n" if last else ""
            sock.sendall(f"GET /{size} HTTP/1.1\r\nHost: www.example.com\r\n{close}\r\n".encode())
            response(sock)
            if last:
                sock.recv(1)


def upload(source, rng):
    size = rng.randrange(1, 9000)
    with opened(source, socket.SOCK_STREAM) as sock:
        sock.connect((web_of(source, rng), HTTP))
        sock.sendall(f"POST /{size} HTTP/1.1\r\nHost: www.example.com\r\n\r\n".encode() + filler(size))
        response(sock)


def converse(source, rng):
    """Single bytes and their echo, as a terminal does."""
    with opened(source, socket.SOCK_STREAM) as sock:
        sock.connect((web_of(source, rng), ECHO))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(rng.randrange(3, 20)):
            size = rng.choice([1, 1, 1, 2, 8, 40])
            sock.sendall(filler(size))
            received(sock, size)


def abort(source, rng):
    """A connection that the client resets."""
    with opened(source, socket.SOCK_STREAM) as sock:
        sock.connect((web_of(source, rng), ECHO))
        sock.sendall(filler(10))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def knock(source, rng):
    """A connection to a port where nobody listens."""
    with opened(source, socket.SOCK_STREAM) as sock:
        try:
            sock.connect((web_of(source, rng), rng.choice(CLOSED)))
        except ConnectionRefusedError:
            pass


def resolve(source, rng, options=b""):
    number = rng.randrange(65536)
    query = dns_query(rng, number)
    server = NAMES6 if ":" in source else NAMES
    with opened(source, socket.SOCK_DGRAM, options) as sock:
        if rng.random() < 0.1 and ":" not in source:
            sock.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        sock.sendto(query, (server, DNS))
        if rng.random() < 0.01:
            return  # gone before the answer comes: the kernel sends ICMP port unreachable
        answer = sock.recv(4096)
    if answer[2] & 2 or rng.random() < 0.01:
        with opened(source, socket.SOCK_STREAM) as sock:
            sock.connect((server, DNS))
            sock.sendall(struct.pack("!H", len(query)) + query)
            (length,) = struct.unpack("!H", sock.recv(2, socket.MSG_WAITALL))
            received(sock, length)


def report(source, rng, size=0):
    """A line for the UDP sink, or a datagram that must be fragmented."""
    with opened(source, socket.SOCK_DGRAM) as sock:
        sock.sendto(filler(size or rng.randrange(1, 250)), (web_of(source, rng), SINK))


def ping(source, rng, size=None):
    if size is None:
        size = rng.choice([0, 1, 56, 56, 56, 56, 200])
    six = ":" in source
    protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
    number, server = rng.randrange(65536), web_of(source, rng)
    message = struct.pack("!BBHHH", 128 if six else 8, 0, 0, number, 1) + filler(size)
    if not six:  # for ICMPv6 the kernel fills in the checksum
        total = sum(struct.unpack(f"!{(len(message) + 1) // 2}H", message + bytes(len(message) % 2)))
        total = (total & 0xFFFF) + (total >> 16)
        message = message[:2] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + message[4:]
    with opened(source, socket.SOCK_RAW, protocol=protocol) as sock:
        sock.sendto(message, (server, 0))
        while True:
            answer = sock.recv(65536)
            answer = answer if six else answer[(answer[0] & 15) * 4 :]
            if answer[0] == (129 if six else 0) and answer[4:6] == message[4:6]:
                return


def experiment(source, rng):
    """A packet of a protocol number for experiments (RFC 3692)."""
    with opened(source, socket.SOCK_RAW, protocol=253) as sock:
        sock.sendto(filler(rng.randrange(20, 80)), (web_of(source, rng), 0))


def errands(rng):
    """All errands, shuffled. A few sources of each kind do most of the asking."""
    everybody = PLAIN + PLAIN6 + TAGGED + TAGGED6 + TWICE_TAGGED
    weights = [1 / (1 + i % 16) for i in range(len(everybody))]

    def somebody(sources=None):
        return rng.choice(sources) if sources else rng.choices(everybody, weights)[0]

    jobs = []
    for count, errand in (
        (1500, browse), (130, upload), (170, converse), (60, abort), (4300, resolve), (800, report), (900, ping),
    ):  # fmt: skip
        jobs += [(errand, somebody(), {}) for _ in range(count)]
    jobs += [(knock, somebody(SCANNERS), {}) for _ in range(700)]
    jobs += [(knock, somebody(), {}) for _ in range(60)]
    jobs += [(experiment, somebody(PLAIN + TAGGED), {}) for _ in range(40)]
    jobs += [(report, somebody(PLAIN + PLAIN6 + TAGGED), {"size": rng.randrange(1600, 4000)}) for _ in range(50)]
    jobs += [(ping, somebody(PLAIN + PLAIN6), {"size": rng.choice([1400, 1472, 2000])}) for _ in range(30)]
    for errand in (browse, resolve):
        jobs += [(errand, somebody(PLAIN + TWICE_TAGGED), {"options": rng.choice(IP_OPTIONS)}) for _ in range(60)]
    rng.shuffle(jobs)
    return jobs


def ask(share="1"):
    rng = random.Random(SEED)
    jobs = [(errand, source, extra, random.Random(rng.random())) for errand, source, extra in errands(rng)]
    jobs = jobs[:: int(share)]

    def run(job):
        errand, source, extra, own = job
        errand(source, own, **extra)

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        failed = 0
        for job, future in [(job, pool.submit(run, job)) for job in jobs]:
            if error := future.exception():
                failed += 1
                print(f"{job[0].__name__} from {job[1]}: {error!r}", file=sys.stderr)
    if failed > len(jobs) // 100:
        sys.exit(f"{failed} of {len(jobs)} errands failed")


# From capture to trace.

DELAY_NS = 1_000_000


def relay(client, server, directory):
    """A wire of a certain length between two devices, and what was seen in its middle."""
    stop = []
    signal.signal(signal.SIGINT, lambda *_: stop.append(True))
    # 33: SO_RCVBUFFORCE (asm-generic/socket.h).
    sockets = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) for _ in range(2)]
    for sock, device in zip(sockets, (client, server)):
        sock.bind((device, 3))
        sock.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
        sock.setblocking(False)
    print("relaying", flush=True)
    waiting, seen = collections.deque(), ([], [])
    while not stop:
        for side, sock in enumerate(sockets):
            while True:
                try:
                    frame, (_, _, kind, _, _) = sock.recvfrom(65536)
                except BlockingIOError:
                    break
                if kind != socket.PACKET_OUTGOING:
                    now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
                    seen[side].append((now, frame.ljust(MINIMUM, b"\0")))
                    waiting.append((now + DELAY_NS, sockets[1 - side], frame))
        while waiting and waiting[0][0] <= time.clock_gettime_ns(time.CLOCK_MONOTONIC):
            _, sock, frame = waiting.popleft()
            sock.send(frame)
        time.sleep(20e-6)
    epoch = min(frames[0][0] for frames in seen)
    for name, frames in zip(("clients", "servers"), seen):
        write(f"{directory}/{name}.pcap", [(at - epoch, frame) for at, frame in frames])
        print(f"{name}: {len(frames)} packets, the first after {frames[0][0] - epoch} ns")


def write(trace, frames):
    """A pcap with nanoseconds; times count from the beginning of the epoch."""
    out = struct.pack("<IHHiIII", NANO, 2, 4, 0, 0, 65535, 1)
    for at, frame in frames:
        out += struct.pack("<IIII", at // 10**9, at % 10**9, len(frame), len(frame)) + frame
    with open(trace, "wb") as file:
        file.write(out)


MINIMUM = 60  # bytes of the shortest Ethernet frame without its check sequence (IEEE 802.3, 3.2.8)
NANO = 0xA1B23C4D


def finish(raw, trace):
    """Writes the frames in order of time, padded with zeros as a sending card would have done."""
    with open(raw, "rb") as file:
        data = file.read()
    head = struct.unpack_from("<IHHiIII", data)
    if head[0] != NANO or head[6] != 1:
        sys.exit(f"{raw}: not a little-endian nanosecond pcap of Ethernet")
    frames, at = [], 24
    while at < len(data):
        seconds, nanoseconds, caplen, length = struct.unpack_from("<IIII", data, at)
        if caplen != length:
            sys.exit(f"{raw}: a truncated frame at byte {at}")
        frames.append((seconds, nanoseconds, data[at + 16 : at + 16 + caplen]))
        at += 16 + caplen
    frames.sort(key=lambda frame: frame[:2])
    out = struct.pack("<IHHiIII", NANO, 2, 4, 0, 0, 65535, 1)
    for seconds, nanoseconds, frame in frames:
        frame = frame.ljust(MINIMUM, b"\0")
        out += struct.pack("<IIII", seconds, nanoseconds, len(frame), len(frame)) + frame
    if len(frames) < 20000 or len(out) > 4 << 20:
        sys.exit(f"{len(frames)} packets in {len(out)} bytes: wanted at least 20000 in at most 4 MiB")
    with open(trace, "wb") as file:
        file.write(out)
    print(f"{trace}: {len(frames)} packets, {len(out)} bytes")


if __name__ == "__main__":
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == "serve":
        asyncio.run(serve())
    else:
        {"addresses": addresses, "ask": ask, "finish": finish, "relay": relay}[command](*arguments)
