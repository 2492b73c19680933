"""A WebSocket by the library wsproto, on HTTP/1.1 (RFC 6455) or on a stream of HTTP/2 (RFC 8441, by the library h2); what
was seen is printed as JSON."""

import json
import sys

import h2.config
import h2.connection
import h2.events
import h2.settings
from wsproto import ConnectionType, WSConnection
from wsproto.connection import Connection
from wsproto.events import (AcceptConnection, BytesMessage, CloseConnection, Message, Ping, Pong, RejectConnection, Request,
                            TextMessage)

from link import connect

port, authority, protocol = int(sys.argv[1]), sys.argv[2], sys.argv[3]


class OnHttp1:
    def __init__(self):
        self.link = connect(port, authority, "http/1.1")
        self.socket = WSConnection(ConnectionType.CLIENT)
        request = Request(host="localhost", target="/ws", extra_headers=[(b"x-user-id", b"ada")])
        self.write(self.socket.send(request))
        self.early = []
        while not self.early:
            self.early = list(self.read())
        opened = self.early.pop(0)
        assert isinstance(opened, AcceptConnection), opened
        self.status = 101

    def write(self, data):
        self.link.sendall(data)

    def read(self):
        if getattr(self, "early", None):
            yield self.early.pop(0)
            return
        data = self.link.recv(65536)
        assert data, "closed"
        self.socket.receive_data(data)
        yield from self.socket.events()


class OnHttp2:
    def __init__(self):
        self.link = connect(port, authority, "h2")
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.link.sendall(self.h2.data_to_send())
        self.socket = Connection(ConnectionType.CLIENT)
        self.status = None
        self.pending = b""
        # Only once the other side has said that it knows how.
        while not self.h2.remote_settings.get(h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL):
            self.take()
        self.stream = self.h2.get_next_available_stream_id()
        scheme = "https" if authority else "http"
        self.h2.send_headers(self.stream, [
            (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", scheme), (":authority", "localhost"),
            (":path", "/ws"), ("sec-websocket-version", "13"), ("x-user-id", "ada"),
        ])
        self.link.sendall(self.h2.data_to_send())
        while self.status is None:
            self.take()

    def take(self):
        data = self.link.recv(65536)
        assert data, "closed"
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.status = int(dict(event.headers)[":status"])
            elif isinstance(event, h2.events.DataReceived):
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                self.socket.receive_data(event.data)
        self.flush()

    def flush(self):
        while self.pending:
            room = min(self.h2.local_flow_control_window(self.stream), self.h2.max_outbound_frame_size)
            if room == 0:
                break
            self.h2.send_data(self.stream, self.pending[:room])
            self.pending = self.pending[room:]
        self.link.sendall(self.h2.data_to_send())

    def write(self, data):
        self.pending += data
        self.flush()

    def read(self):
        self.take()
        yield from self.socket.events()


way = {"http/1.1": OnHttp1, "h2": OnHttp2}[protocol]()
waiting = []


def next_event():
    while not waiting:
        waiting.extend(way.read())
    event = waiting.pop(0)
    assert not isinstance(event, RejectConnection), event
    return event


def next_message():
    """A whole message, which may come in parts."""
    event = next_event()
    whole = event.data
    while not event.message_finished:
        event = next_event()
        whole += event.data
    return whole


def say(event):
    way.write(way.socket.send(event))


name = next_message()
say(TextMessage("good day"))
text = next_message()
say(Message(data="one ", message_finished=False))
say(Message(data="two", message_finished=True))
fragments = next_message()
say(BytesMessage(b"\xff" * 100_000))
size = len(next_message())
say(Ping(b"here"))
pong = next_event()
assert isinstance(pong, Pong), pong
say(CloseConnection(code=1000))
closed = next_event()
assert isinstance(closed, CloseConnection), closed

print(json.dumps({
    "status": way.status,
    "name": name,
    "text": text,
    "fragments": fragments,
    "bytes": size,
    "pong": bytes(pong.payload).decode(),
    "closed": closed.code,
}))
