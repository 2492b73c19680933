"""Streams of HTTP/2 side by side, by the library h2: bodies, trailers, PING, resets; what was seen is printed as JSON."""

import json
import sys

import h2.config
import h2.connection
import h2.events
import h2.settings

from link import connect

port, authority = int(sys.argv[1]), sys.argv[2]
BODY = bytes(range(250)) * 1200


class Stream:
    def __init__(self):
        self.headers, self.body, self.ended, self.reset = {}, b"", False, None


class Client:
    def __init__(self):
        self.link = connect(port, authority, "h2")
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.streams, self.ping, self.goaway, self.settings, self.order = {}, False, None, None, []
        self.send()

    def send(self):
        self.link.sendall(self.h2.data_to_send())

    def ask(self, path, *fields, method="GET", ends=True):
        stream = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "https" if authority else "http"), (":authority", "localhost")]
        self.h2.send_headers(stream, [*head, (":path", path), *fields], end_stream=ends)
        self.streams[stream] = Stream()
        self.send()
        return stream

    def turn(self):
        """Takes what has come in."""
        data = self.link.recv(65536)
        assert data, "closed"
        for event in self.h2.receive_data(data):
            stream = self.streams.get(getattr(event, "stream_id", None))
            if isinstance(event, h2.events.ResponseReceived):
                stream.headers = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                stream.body += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                stream.ended = True
                self.order.append(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                stream.reset = event.error_code
            elif isinstance(event, h2.events.PingAckReceived):
                self.ping = event.ping_data == b"question"
            elif isinstance(event, h2.events.RemoteSettingsChanged):
                self.settings = {code: change.new_value for code, change in event.changed_settings.items()}
            elif isinstance(event, h2.events.ConnectionTerminated):
                self.goaway = event.error_code
        self.send()

    def whole(self, stream):
        while not self.streams[stream].ended:
            assert self.streams[stream].reset is None, self.streams[stream].reset
            self.turn()
        return self.streams[stream]

    def upload(self, stream, body):
        """Within the windows that the other side gives."""
        while body:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(body))
            if room == 0:
                self.turn()
                continue
            self.h2.send_data(stream, body[:room])
            body = body[room:]
            self.send()


client = Client()
slow = client.ask("/slow?ms=500")
upload = client.ask("/echo", ("content-type", "text/x-test"), ("trailer", "x-sum"), method="POST", ends=False)
quick = client.ask("/home")
client.upload(upload, BODY)
client.h2.send_headers(upload, [("x-sum", "1")], end_stream=True)
client.h2.ping(b"question")
client.send()
echoed, answered = client.whole(upload), client.whole(slow)
missing = client.whole(client.ask("/nowhere"))
# Taken back while the replica still works on it.
gone = client.ask("/slow?ms=60000")
client.h2.reset_stream(gone, 8)
client.send()
after = client.whole(client.ask("/home"))
keyed = [client.whole(client.ask("/whoami", ("x-user-id", "ada"))) for _ in range(20)]

print(json.dumps({
    "settings": {
        "ENABLE_CONNECT_PROTOCOL": client.settings[h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL],
        "MAX_CONCURRENT_STREAMS": client.settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS],
    },
    "ping": client.ping,
    "sent": len(BODY),
    "echoed": echoed.body == BODY,
    "typed": echoed.headers.get("content-type") == "text/x-test",
    "slow": answered.headers[":status"],
    "order": [{quick: "quick", slow: "slow"}[stream] for stream in client.order if stream in (quick, slow)],
    "missing": [missing.headers[":status"], missing.headers["content-type"]],
    "reset_then": after.headers[":status"],
    "ordinals_of_ada": len({json.loads(stream.body)["ordinal"] for stream in keyed}),
    "goaway": client.goaway,
}))
