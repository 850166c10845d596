#!/usr/bin/env python3
"""chat_test.py SINTER: `sinter chat` at a terminal, driven as a person would.

A small model of random weights talks (embed/so/talk_test.py makes it). Every turn feeds what is new alone; an interrupt
ends an answer, or a line that was begun, and not the program. Exit 77: no terminal can be made.
"""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "embed", "so"))
from talk_test import TEMPLATE, make_model  # noqa: E402

WAIT = 120


class Terminal:
    """The program at a terminal; its standard error goes to a file."""

    def __init__(self, *command, log):
        self.master, slave = pty.openpty()
        self.log = open(log, "w+", encoding="utf-8")
        self.program = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=self.log, start_new_session=True,
                                        preexec_fn=lambda: __import__("fcntl").ioctl(0, 0x540E, 0))
        os.close(slave)
        self.seen = b""

    def until(self, what):
        """What was printed up to it, and takes it."""
        end = time.monotonic() + WAIT
        while what not in self.seen:
            assert time.monotonic() < end, (what, self.seen)
            if select.select([self.master], [], [], 1)[0]:
                try:
                    self.seen += os.read(self.master, 65536)
                except OSError:
                    break
        assert what in self.seen, (what, self.seen)
        before, self.seen = self.seen.split(what, 1)
        return before.decode().replace("\r\n", "\n")

    def send(self, line):
        os.write(self.master, line.encode() + b"\n")

    def say(self, line):
        """A line and all that is said before the next prompt, without the echo."""
        self.send(line)
        return self.until(b"> ").split("\n", 1)[1]

    def errors(self):
        self.log.seek(0)
        return self.log.read()


def fed(errors):
    return [tuple(map(int, m)) for m in re.findall(r"fed (\d+) of (\d+) tokens", errors)]


def check_turns(t, folder):
    said = [t.say("Who are you?"), t.say("And I?")]
    assert all(len(s) > 5 for s in said), said
    (first, whole), (second, both) = fed(t.errors())[:2]
    # The end of a turn, the message, and what begins the answer; the last token of an answer was not fed.
    new = len("\nuser\nAnd I?\nassistant\n") + 4
    assert first == whole and both > whole and second <= new + 2 and second < both - whole, (first, whole, second, both)
    saved = os.path.join(folder, "saved.json")
    t.say("/save " + saved)
    with open(saved, encoding="utf-8") as f:
        messages = json.load(f)
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "user", "assistant"], messages
    assert [m["content"] + "\n" for m in messages[2::2]] == said, (messages, said)
    t.say("/clear")
    assert t.say("Who are you?") == said[0]
    t.say("/load " + saved)
    assert t.say("/undo") == "" and t.say("And I?") == said[1]
    return said


def check_commands(t, said):
    assert "/regen" in t.say("/help")
    assert t.say("/regen") == said[1]  # the likeliest tokens are the same again
    t.say("/set do_sample=true")
    t.say("/set temperature=1.5")
    assert len({t.say("/regen") for _ in range(3)}) == 3
    t.say("/set do_sample=false")
    t.say("/clear")
    t.say("/system You are rude.")
    assert t.say("Who are you?") != said[0]
    t.say("/nonsense")
    t.say("/set no_such_key=1")
    errors = t.errors()
    assert "/nonsense" in errors and "no_such_key" in errors and t.program.poll() is None, errors


def check_interrupts(t):
    os.write(t.master, b"half a line")
    time.sleep(0.3)
    os.killpg(t.program.pid, signal.SIGINT)
    t.until(b"> ")
    t.say("/set max_new_tokens=100000")
    t.say("/clear")
    t.send("Tell me all.")
    t.until(b"all.\r\n")
    while len(t.seen) < 20:
        t.seen += os.read(t.master, 4096)
    os.killpg(t.program.pid, signal.SIGINT)
    begin = time.monotonic()
    t.until(b"> ")
    assert time.monotonic() - begin < 30 and t.program.poll() is None
    assert t.say("/set max_new_tokens=4") == ""
    assert len(t.say("And now?")) <= 5 * len("</think>")


def main():
    sinter = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as work:
        model = os.path.join(work, "model")
        make_model(model, TEMPLATE, 65536)
        try:
            os.close(pty.openpty()[1])
        except OSError:
            sys.exit(77)  # no terminal can be made here
        t = Terminal(sinter, "chat", model, "--system", "You are kind.", "--max-new-tokens", "24", "--max-length", "60000",
                     "-v", log=os.path.join(work, "log"))
        t.until(b"> ")
        said = check_turns(t, work)
        check_commands(t, said)
        check_interrupts(t)
        assert "tokens/s" in t.errors()
        t.send("/quit")
        assert t.program.wait(WAIT) == 0


main()
