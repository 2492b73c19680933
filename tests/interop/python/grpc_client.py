"""Calls of every kind by grpcio, to replicas of `grpc_replica.py`; what was seen is printed as JSON."""

import json
import queue
import sys

import grpc

port, authority = sys.argv[1], sys.argv[2]
if authority:
    with open(authority, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    options = (("grpc.ssl_target_name_override", "localhost"),)
    channel = grpc.secure_channel(f"127.0.0.1:{port}", credentials, options)
else:
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
SERVICE = "/interop.Interop/"
ada = (("x-user-id", "ada"),)


def error_of(call):
    """The end of a call that must not succeed."""
    try:
        call()
    except grpc.RpcError as error:
        return [error.code().name, error.details()]
    return ["OK", None]


unary = channel.unary_unary(SERVICE + "Unary")
names = {}
for key in ["ada", "grace", "edsger", "barbara", "alan", "donald"]:
    answers = {unary(b"x", metadata=(("x-user-id", key),)).split()[0].decode() for _ in range(5)}
    assert len(answers) == 1, (key, answers)
    names[key] = answers.pop()
large, call = unary.with_call(b"x" * 3_000_000, metadata=ada)

numbers = [int(number) for number in channel.unary_stream(SERVICE + "Numbers")(b"1000", metadata=ada)]
joined = channel.stream_unary(SERVICE + "Joined")(iter([b"a", b"b", b"", b"c"]), metadata=ada)

# Each message waits for the answer to the one before.
told = queue.Queue()
answers = channel.stream_stream(SERVICE + "Echo")(iter(told.get, None), metadata=ada)
heard = []
for message in [b"one", b"two", b"three"]:
    told.put(message)
    heard.append(next(answers).decode())
told.put(None)
heard += [answer.decode() for answer in answers]

broken, parts = channel.unary_stream(SERVICE + "Broken")(b"", metadata=ada), []


def to_the_end():
    for part in broken:
        parts.append(part.decode())


broken_end = error_of(to_the_end)
missing = error_of(lambda: channel.unary_unary(SERVICE + "Missing")(b"", metadata=ada))
overdue = error_of(lambda: channel.unary_unary(SERVICE + "Sleep")(b"", metadata=ada, timeout=0.5))
slept = channel.unary_unary(SERVICE + "Slept")(b"", metadata=ada)

print(json.dumps({
    "names": names,
    "large": [len(large) - len(large.split()[0]) - 1, dict(call.trailing_metadata()).get("x-length")],
    "numbers": numbers == list(range(1000)),
    "joined": joined.decode(),
    "echo": heard,
    "broken": [parts, broken_end],
    "missing": missing,
    "unknown": error_of(lambda: channel.unary_unary(SERVICE + "Nothing")(b"", metadata=ada))[0],
    "overdue": overdue[0],
    "cancelled": slept.decode(),
    # Past what Ringhold is told to take, but not past what grpcio takes, which would say so first.
    "too_large": error_of(lambda: unary(b"x" * 4_100_000, metadata=ada)),
}))
