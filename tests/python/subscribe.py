#!/usr/bin/env python3
"""Subscribes to a sensor and prints each detection as one line of JSON.

It knows nothing of the sensor but its address: what to call and what comes back it learns by server
reflection. So it shows that any gRPC client can read detections.

    python3 subscribe.py unix:/run/sensor/sensor.sock --count 1

Needs the packages grpcio and grpcio-reflection. Exit codes: 0 all shown, 1 the stream failed or ended early,
2 wrong usage.
"""

import argparse
import json
import sys

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

SERVICE = "sensor.v1.Detections"
METHOD = "Subscribe"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("address", help="such as unix:/run/sensor/sensor.sock or 127.0.0.1:9765")
    arguments.add_argument("--count", type=int, default=0, help="stop after this many detections")
    arguments.add_argument("--filter", type=json.loads, default={}, help="sensor.v1.Filter as JSON")
    arguments.add_argument("--timeout", type=float, default=60, help="seconds to wait in all")
    options = arguments.parse_args()

    with grpc.insecure_channel(options.address) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=min(options.timeout, 10))
        except grpc.FutureTimeoutError:
            print(f"cannot connect to {options.address}", file=sys.stderr)
            return 1
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        method = pool.FindServiceByName(SERVICE).FindMethodByName(METHOD)
        request_class = GetMessageClass(method.input_type)
        response_class = GetMessageClass(method.output_type)
        subscribe = channel.unary_stream(
            f"/{SERVICE}/{METHOD}",
            request_serializer=request_class.SerializeToString,
            response_deserializer=response_class.FromString,
        )
        request = json_format.ParseDict({"filter": options.filter}, request_class())
        shown = 0
        try:
            for response in subscribe(request, timeout=options.timeout):
                if response.WhichOneof("item") != "detection":
                    continue
                message = json_format.MessageToDict(response.detection, preserving_proto_field_name=True)
                print(json.dumps(message), flush=True)
                shown += 1
                if shown == options.count:
                    return 0
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()}", file=sys.stderr)
            return 1
    return 0 if options.count == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
