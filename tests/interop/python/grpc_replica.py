"""A replica that speaks gRPC alone, on the port that it is told; messages are plain bytes."""

import os
import threading
from concurrent import futures

import grpc

NAME = os.environ["RINGHOLD_NAME"].encode()
cancelled = threading.Event()


def unary(message, context):
    context.set_trailing_metadata((("x-length", str(len(message))),))
    return NAME + b" " + message


def numbers(message, _):
    for number in range(int(message)):
        yield str(number).encode()


def joined(messages, _):
    return b"".join(messages)


def echo(messages, _):
    yield from messages


def missing(_, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "nothing here, größer")


def broken(_, context):
    yield b"first"
    context.abort(grpc.StatusCode.DATA_LOSS, "and no second")


def sleep(_, context):
    over = threading.Event()
    context.add_callback(over.set)
    over.wait(30)
    cancelled.set()
    return b""


def slept(_, __):
    """Whether somebody who slept was woken because nobody waits any more."""
    return str(cancelled.wait(10)).encode()


methods = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Numbers": grpc.unary_stream_rpc_method_handler(numbers),
    "Joined": grpc.stream_unary_rpc_method_handler(joined),
    "Echo": grpc.stream_stream_rpc_method_handler(echo),
    "Missing": grpc.unary_unary_rpc_method_handler(missing),
    "Broken": grpc.unary_stream_rpc_method_handler(broken),
    "Sleep": grpc.unary_unary_rpc_method_handler(sleep),
    "Slept": grpc.unary_unary_rpc_method_handler(slept),
}
server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("interop.Interop", methods),))
server.add_insecure_port(f"127.0.0.1:{os.environ['PORT']}")
server.start()
server.wait_for_termination()
