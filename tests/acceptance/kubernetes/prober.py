#!/usr/bin/env python3
"""Flows out of a pod, and what the other end sees as their source. Started in the network namespace that it is about.

    prober.py serve ADDRESS...                  answers each datagram to port 9999 with the address that it came from
    prober.py ask ADDRESS[:PORT]                one flow; prints the source that the other end saw
    prober.py stream FILE ADDRESS=SOURCE...     new flows to all of these in turn, 200 a second, until there is FILE.stop; FILE
                                                then has JSON: flows sent, those whose source was SOURCE, other sources, errors
"""

import json
import os
import random
import select
import socket
import sys
import time

PORT = 9999
ASKED_FROM = range(2000, 32000)
FLOWS_A_SECOND = 200
# How long an answer may take: it comes over a veth pair, on a machine that may be busy.
PATIENCE = 5


def serve(addresses):
    # A socket for each address, so that the answer comes from the address that was asked.
    sockets = []
    for address in addresses:
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind((address, PORT))
        sockets.append(receiver)
    print("serving", flush=True)
    while True:
        for receiver in select.select(sockets, [], [])[0]:
            _, source = receiver.recvfrom(64)
            receiver.sendto(source[0].encode(), source)


def begin(address, port=0):
    """A new flow: a socket of its own has a port of its own, the kernel's choice if none is given."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.bind(("", port))
    host, _, destination = address.partition(":")
    sender.connect((host, int(destination or PORT)))
    sender.send(b"who am I?")
    return sender


def ask(address):
    for _ in range(PATIENCE):
        # Not from the ports that the kernel chooses for streams: conntrack may still know a flow of the same ports, and does
        # with this one as the policy was then.
        sender = begin(address, random.choice(ASKED_FROM))
        if select.select([sender], [], [], 1)[0]:
            print(sender.recv(64).decode())
            return
    sys.exit(f"no answer from {address} within {PATIENCE} s")


def stream(path, wanted):
    wanted = dict(pair.split("=") for pair in wanted)
    counts = {"sent": 0, "as_expected": {address: 0 for address in wanted}, "others": {}, "errors": {}}
    waiting = {}  # socket -> (address, until when an answer is waited for)

    def receive(timeout):
        for sender in select.select(list(waiting), [], [], timeout)[0]:
            address, _ = waiting.pop(sender)
            try:
                source = sender.recv(64).decode()
            except OSError as error:
                counts["errors"][str(error)] = counts["errors"].get(str(error), 0) + 1
                continue
            finally:
                sender.close()
            if source == wanted[address]:
                counts["as_expected"][address] += 1
            else:
                what = f"{address} saw {source}"
                counts["others"][what] = counts["others"].get(what, 0) + 1

    addresses = list(wanted)
    while not os.path.exists(path + ".stop"):
        address = addresses[counts["sent"] % len(addresses)]
        waiting[begin(address)] = (address, time.monotonic() + PATIENCE)
        counts["sent"] += 1
        pause = time.monotonic() + 1 / FLOWS_A_SECOND
        while (left := pause - time.monotonic()) > 0:
            receive(left)
        now = time.monotonic()
        for sender in [sender for sender, (_, until) in waiting.items() if until < now]:
            del waiting[sender]
            sender.close()
            counts["errors"]["no answer"] = counts["errors"].get("no answer", 0) + 1
    until = time.monotonic() + PATIENCE
    while waiting and (left := until - time.monotonic()) > 0:
        receive(left)
    if waiting:
        counts["errors"]["no answer"] = counts["errors"].get("no answer", 0) + len(waiting)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(counts, file)
    os.rename(path + ".new", path)


if __name__ == "__main__":
    verb, arguments = sys.argv[1], sys.argv[2:]
    if verb == "serve":
        serve(arguments)
    elif verb == "ask":
        ask(arguments[0])
    else:
        stream(arguments[0], arguments[1:])
