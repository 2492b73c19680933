"""Calls by grpcio, many at one time, until a file is there; what came of them is printed as JSON."""

import collections
import json
import os
import sys
import threading

import grpc

port, until = sys.argv[1], sys.argv[3]
channel = grpc.insecure_channel(f"127.0.0.1:{port}")
unary = channel.unary_unary("/interop.Interop/Unary")
ends, replicas = collections.Counter(), set()


def call(thread):
    number = 0
    while not os.path.exists(until):
        try:
            answer = unary(b"x", metadata=(("x-user-id", f"{thread}-{number}"),), timeout=20)
            replicas.add(answer.split()[0].decode())
            ends["OK"] += 1
        except grpc.RpcError as error:
            ends[f"{error.code().name}: {error.details()}"] += 1
        number += 1


threads = [threading.Thread(target=call, args=(thread,)) for thread in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps({"ends": ends, "replicas": sorted(replicas)}))
