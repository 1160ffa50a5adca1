# SPDX-License-Identifier: BSD-2-Clause
"""Where natsd is meant to differ from nats-server: the one table.

Most entries are about input: nats-server is then told something else, to which
it answers as natsd answers to the original, so that the rest of a session can
still be compared.  Each function below gets what grammar.py found and returns
these other bytes; None means that the entry is not about this input.  The
other entries are about what a server says; compare.py asks them.

An entry that nothing uses in a full run is out of date, which is an error.
The list in the file DIFFERENCES is printed by run.py --differences.
"""

import re

NEWLINES = b"\r\n"
SILENT = b"CONNECT x\r\n"  # nats-server closes without a word
UNKNOWN = b"CZ"  # Unknown Protocol Operation, with or without credentials

TABLE = {}


class Difference:
    """An entry; output: nats-server's answer differs, not what it is told."""

    def __init__(self, ident, name, reference, natsd, reason, output=False):
        self.ident, self.name = ident, name
        self.reference, self.natsd, self.reason = reference, natsd, reason
        self.output = output
        TABLE[ident] = self


def text():
    """The table as the file DIFFERENCES has it."""
    lines = ["Where natsd differs from nats-server 2.9.10, on purpose",
             "======================================================", "",
             "Anything else that the two answer differently is a bug.  Made",
             "by tests/diff/run.py --differences from tests/diff/allowed.py."]
    for ident in sorted(TABLE):
        entry = TABLE[ident]
        lines += ["", "%s  %s" % (ident, entry.name)]
        for label, what in (("nats-server", entry.reference),
                            ("natsd", entry.natsd),
                            ("reason", entry.reason)):
            lines += fold("    %-13s" % (label + ":"), what)
    return "\n".join(lines) + "\n"


def fold(head, words, width=78):
    lines = []
    line = head
    for word in words.split():
        if len(line) + 1 + len(word) > width and line.strip():
            lines.append(line.rstrip())
            line = " " * len(head)
        line += word + " "
    lines.append(line.rstrip())
    return lines


# ------------------------------------------------------------- what is said

Difference(
    "D01", "503 names the subject",
    "The notification that nobody listens is HMSG with the header block "
    "\"NATS/1.0 503\" and nothing else.",
    "A line \"Nats-Subject: \" with the subject published to follows.",
    "nats-server does so since 2.12; every client library accepts both.",
    output=True)

STATUS = b"NATS/1.0 503\r\n\r\n"
STATUS_SUBJECT = re.compile(rb"NATS/1\.0 503\r\nNats-Subject: ([^ \t\r\n]+)"
                            rb"\r\n\r\n", re.S)


def status(header, payload):
    """Whether it is nats-server's 503, of any version."""
    return not payload and (header == STATUS or
                            STATUS_SUBJECT.fullmatch(header) is not None)


def status_subject(header, payload):
    """The subject in natsd's 503; None if it is something else."""
    found = STATUS_SUBJECT.fullmatch(header)
    return found.group(1) if found and not payload else None


Difference(
    "D02", "INFO says which worker",
    "INFO has no field \"worker\"; \"git_commit\" may be there.",
    "The field \"worker\" is the number of the process that serves the "
    "connection.",
    "Clients ignore fields that they do not know; it helps to find a "
    "process.",
    output=True)

# Their values say who a server is; what is in the others must be equal.
INFO_OWN = {"server_id": str, "server_name": str, "version": str, "go": str,
            "host": str, "port": int, "client_id": int, "client_ip": str}


def compare_info(theirs, ours, note):
    """What is wrong with natsd's INFO, "" if nothing."""
    theirs, ours = dict(theirs), dict(ours)
    # 2.10 and 2.12 have more.
    for key in ("git_commit", "xkey", "api_lvl"):
        theirs.pop(key, None)
    if type(ours.pop("worker", None)) is int:
        note("D02")
    for key, kind in INFO_OWN.items():
        if type(ours.get(key)) is kind and type(theirs.get(key)) is kind:
            del ours[key], theirs[key]
    return "" if ours == theirs else "INFO %r, expected %r" % (ours, theirs)


Difference(
    "D05", "sizes are printed as numbers",
    "MSG and HMSG repeat the digits of the publisher: after PUB foo 002 comes "
    "MSG foo 1 002.",
    "Sizes have no leading zeros: MSG foo 1 2.",
    "It is the same number.", output=True)

NUMBER = re.compile(rb"0|[1-9][0-9]*")


def canonical(number):
    return NUMBER.fullmatch(number) is not None


Difference(
    "D06", "Invalid Publish Subject is said once",
    "The error comes a second time when the payload arrives later than the "
    "control line.",
    "One error for one message.",
    "The answer must not depend on how the input was cut.", output=True)

TWICE = ("-ERR", b"'Invalid Publish Subject'")

Difference(
    "D18", "what is queued arrives before the end",
    "After an error, with or without a text, the connection is closed at "
    "once: if input is unread, by a reset, which can overtake what was sent "
    "before.",
    "natsd shuts down its side, then reads and discards for a while, so that "
    "end of file follows the last byte.",
    "Who causes an error should be able to read it.", output=True)


# ------------------------------------------------------------- what is heard

Difference(
    "D03", "a second CONNECT starts afresh",
    "Subscriptions outlive a second CONNECT.",
    "The second and any later CONNECT removes the subscriptions of the "
    "connection.",
    "nats-server does so since 2.11.17 and 2.14.")


def connect_again(sids):
    """A second CONNECT: who had subscriptions loses them first."""
    return b"".join(b"UNSUB " + sid + NEWLINES for sid in sids)


Difference(
    "D04", "$NRG. is reserved",
    "Anybody can publish to subjects that begin with $NRG.",
    "Permissions Violation for Publish to \"$NRG....\", the message is "
    "dropped.",
    "nats-server does so since 2.11.")

NRG, STAND_IN = b"$NRG.", b"_GR_.NRG."


def reserved_nrg(subject):
    """Another subject, which 2.9.10 refuses in the same way."""
    if subject.startswith(NRG):
        return STAND_IN + subject[len(NRG):]
    return None


def reserved_nrg_error(error):
    """What nats-server says of the stand-in, of the original."""
    head = b"'Permissions Violation for Publish to \""
    if error.startswith(head + STAND_IN):
        return head + NRG + error[len(head + STAND_IN):]
    return error


Difference(
    "D07", "blanks count",
    "max_control_line is the limit of the arguments without the blanks in "
    "front of the first one, of which there may be any number.",
    "All but the first blank behind the verb counts.",
    "Nobody can make the server read for ever.")

Difference(
    "D08", "PING, PONG and +OK have an end",
    "What follows these verbs up to the line end may have any length.",
    "max_control_line holds for them too.",
    "Nobody can make the server read for ever.")


def too_long(limit):
    """A line that is too long for every server."""
    return b"CONNECT " + b"x" * (limit + 1) + NEWLINES


def line_too_long(arg, limit, ignored):
    """natsd refuses arg (all behind verb and blank) for its length."""
    if ignored:
        return "D08"
    rest = arg.lstrip(b" \t")
    if rest != arg and len(rest.split(b"\n")[0].rstrip(b"\r")) <= limit:
        return "D07"
    return None


Difference(
    "D09", "CR inside a control line",
    "A CR in the arguments separates some of them, becomes a part of others, "
    "or is dropped, depending on the verb and on how the input was cut.",
    "A CR that does not stand before the line end is Unknown Protocol "
    "Operation.",
    "One rule, and no CR can get into a subject that others receive.")

Difference(
    "D10", "several CRs before LF",
    "A second CR before the line end is a separator in SUB, UNSUB, CONNECT "
    "and INFO, part of the last argument of PUB and HPUB, and dropped from "
    "lines that arrive in pieces.",
    "The connection is closed without an error, as for any bad argument.",
    "The answer must not depend on how the input was cut.")

Difference(
    "D11", "HMSG from a client",
    "HMSG with arguments is read as an empty message without a subject.",
    "Unknown Protocol Operation at the byte after H.",
    "Clients have no use for it.")

Difference(
    "D12", "bare LF behind a payload",
    "Behind a payload must be CR and LF, else it is Unknown Protocol "
    "Operation.",
    "LF alone is accepted, if the payload does not end in CR.",
    "Whoever types by hand has a chance.")

Difference(
    "D13", "LF behind the verb ends the line",
    "An LF that comes first behind the blanks after PUB, HPUB, SUB, UNSUB, "
    "CONNECT, INFO or -ERR is part of the arguments, which end at the next "
    "one.",
    "It ends the line like any other LF; the arguments are missing.",
    "A line ends at LF.")

Difference(
    "D14", "-ERR from a client is the end",
    "What arrives together with and behind a client's -ERR is still carried "
    "out, without an answer.",
    "It is discarded.",
    "The answer must not depend on how the input was cut.")

Difference(
    "D15", "INFO from a client",
    "Values of known fields must have the type they have in the server's own "
    "INFO.",
    "The JSON must be an object or null; what is in it does not matter.",
    "It is ignored anyway.")

Difference(
    "D16", "CONNECT options of other servers",
    "The options import, export and remote_account of routes and leaf nodes "
    "must have their types.",
    "They are ignored like any unknown option.",
    "They mean nothing to clients.")

Difference(
    "D17", "capitals of CONNECT options",
    "Names are compared without regard to case in Unicode: LONG S is an S and "
    "the KELVIN SIGN a K.",
    "Only ASCII letters have two cases.",
    "No client writes them so.")


def info_differs(pairs):
    """Whether nats-server would look at this INFO's fields at all."""
    return any(key.lower() in INFO_FIELDS and not kind_fits(
        INFO_FIELDS[key.lower()], value) for key, value in pairs)


INFO_FIELDS = {
    "server_id": str, "server_name": str, "version": str, "proto": int,
    "git_commit": str, "go": str, "host": str, "port": int, "headers": bool,
    "auth_required": bool, "tls_required": bool, "max_payload": int,
    "jetstream": bool, "ip": str, "client_id": int, "client_ip": str,
    "nonce": str, "cluster": str, "connect_urls": list, "ldm": bool,
}

SERVER_OPTIONS = {"import": dict, "export": dict, "remote_account": str}


def kind_fits(kind, value):
    if value is None:
        return True
    return isinstance(value, kind) and not (kind is int and
                                            isinstance(value, bool))


def server_option(key, value):
    """Whether only nats-server would refuse this option of CONNECT."""
    kind = SERVER_OPTIONS.get(key.lower())
    return kind is not None and not kind_fits(kind, value)


FOLDS = str.maketrans("\u017f\u212a", "sk")


def folded_option(key, known):
    """Whether only nats-server takes this for an option it knows."""
    return not key.isascii() and key.translate(FOLDS).lower() in known
