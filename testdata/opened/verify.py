#!/usr/bin/env python3
"""Verifies a bundle with nothing but Python's standard library and what docs/audit.md says of the formats.

    python3 verify.py BUNDLE.zip KEY [OLD-CHECKPOINT]

KEY is the line that "siaga112 cdr key" prints, or a file with it. The last line is "verified", or each fault has a line and the
exit status is 1. It shares no code with the program that made the bundle, and is meant to be read.
"""

import base64
import hashlib
import json
import os
import re
import sys
import zipfile

FILES = ["records.jsonl", "calls.csv", "proof", "consistency", "checkpoint", "README.txt"]
faults = []


def bad(text):
    faults.append(text)


# Ed25519, as RFC 8032 section 5.1 says: only verification, which needs no secrets and so no care about time.

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)  # of -1


def add(a, b):
    """Adds two points in extended coordinates."""
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    x, y, z, t = f - e, h - g, h + g, f + e
    return x * y % P, z * t % P, y * z % P, x * t % P


def times(n, a):
    out = (0, 1, 1, 0)
    while n:
        if n & 1:
            out = add(out, a)
        a, n = add(a, a), n >> 1
    return out


def point(text):
    """Decodes a point; None if it is none."""
    y, sign = int.from_bytes(text, "little") & (1 << 255) - 1, text[31] >> 7
    if y >= P:
        return None
    xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if (x * x - xx) % P:
        x = x * ROOT % P
    if (x * x - xx) % P or x == 0 and sign:
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def signed_by(public, message, signature):
    a, r, s = point(public), point(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    left, right = times(s, BASE), add(r, times(h, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


# Keys, notes and checkpoints.


class Key:
    def __init__(self, line):
        self.name, digest, text = line.strip().split("+", 2)
        raw = base64.b64decode(text, validate=True)
        self.hash = hashlib.sha256(self.name.encode() + b"\n" + raw).digest()[:4]
        if raw[0] != 1 or len(raw) != 33 or self.hash.hex() != digest:
            raise ValueError("the key is not a line that siaga112 cdr key prints")
        self.public = raw[1:]

    def open(self, note):
        """The text of a note, if the key has signed it."""
        text, _, signatures = note.rpartition(b"\n\n")
        text += b"\n"
        for line in signatures.splitlines():
            dash, name, data = line.decode().split(" ")
            raw = base64.b64decode(data, validate=True)
            if dash == "—" and name == self.name and raw[:4] == self.hash and len(raw) == 68:
                if signed_by(self.public, text, raw[4:]):
                    return text.decode()
        raise ValueError("it has no signature by " + self.name)


def checkpoint(note, key):
    """Origin, size, root and time of a signed checkpoint."""
    lines = key.open(note).split("\n")
    if len(lines) != 7 or lines[0] != key.name:
        raise ValueError("it is no checkpoint of " + key.name)
    return int(lines[1]), base64.b64decode(lines[2], validate=True), lines[3].removeprefix("time ")


# The tree (RFC 6962).


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """Takes leaves and whole subtrees in order, and keeps one hash a level."""

    def __init__(self):
        self.size, self.stack = 0, []

    def push(self, count, digest):
        if count < 1 or count & (count - 1) or self.size % count:
            raise ValueError("no subtree of %d begins at record %d" % (count, self.size))
        self.size += count
        while self.stack and self.stack[-1][0] == count:
            digest, count = node(self.stack.pop()[1], digest), 2 * count
        self.stack.append((count, digest))

    def root(self):
        if not self.stack:
            return hashlib.sha256().digest()
        digest = self.stack[-1][1]
        for _, left in self.stack[-2::-1]:
            digest = node(left, digest)
        return digest


def consistent(old, old_root, size, root, hashes):
    """RFC 9162, 2.1.4.2."""
    if old == 0:
        return not hashes and old_root == hashlib.sha256().digest()
    if old == size:
        return not hashes and old_root == root
    hashes = list(hashes)
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)
    if not hashes or old > size:
        return False
    fn, sn = old - 1, size - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = hashes[0]
    for c in hashes[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return fr == old_root and sr == root and sn == 0


# The bundle.


def lines_of(bundle, name):
    with bundle.open(name) as f:
        for line in f:
            if not line.endswith(b"\n"):
                raise ValueError(name + ": its last line is cut off")
            yield line[:-1].decode()


def manifest(bundle, key):
    text = bundle.read("manifest.json")
    want = "siaga112 manifest v1\n%s\nsha256 %s\n" % (key.name, hashlib.sha256(text).hexdigest())
    if key.open(bundle.read("manifest.note")) != want:
        bad("manifest.json: it is not what manifest.note was signed over")
    m = json.loads(text)
    if m["format"] != "siaga112-bundle-1" or [f["name"] for f in m["files"]] != FILES:
        bad("manifest.json: it is no manifest of this format")
    for f in m["files"]:
        digest, n = hashlib.sha256(), 0
        with bundle.open(f["name"]) as file:
            while block := file.read(1 << 20):
                digest.update(block)
                n += len(block)
        if digest.hexdigest() != f["sha256"] or n != f["bytes"]:
            bad(f["name"] + ": it was changed")
    return m


def erased_by(entry):
    """The records that an entry says were taken away."""
    if entry["event"] != "acted" or entry["data"].get("what") not in ("erased", "expired"):
        return []
    found = re.match(r"records ([0-9 -]+); ", entry["data"].get("detail", ""))
    words = [w.split("-") for w in found[1].split(" ")] if found else []
    return [range(int(w[0]), int(w[-1]) + 1) for w in words]


def records(bundle, m, size, old):
    """Checks every leaf, and gives the root that the records and the proof make, and that of the first old ones, if it was met."""
    proof = lines_of(bundle, "proof")
    if next(proof, "") != "siaga112 gaps v1":
        bad("proof: it is no proof")
    tree, gone, acts, counts, roots = Tree(), [], [], {"records": 0, "erased": 0}, {}

    def push(count, digest):
        tree.push(count, digest)
        if tree.size == old:
            roots[old] = tree.root()

    def fill(until):
        while tree.size < until:
            first, count, digest = next(proof, "0 0 ").split(" ")
            if int(first) != tree.size or int(count) < 1 or tree.size + int(count) > until:
                raise ValueError("proof: record %d is missing" % tree.size)
            if m["filter"] == "":
                bad("record %d: it is missing in a bundle of everything" % tree.size)
            push(int(count), base64.b64decode(digest, validate=True))

    for line in lines_of(bundle, "records.jsonl"):
        r = json.loads(line)
        seq, leaf = r["seq"], bytes.fromhex(r["leaf"])
        if seq < tree.size:
            raise ValueError("records.jsonl: record %d stands there twice, or after a later one" % seq)
        fill(seq)
        push(1, hashlib.sha256(b"\x00" + leaf).digest())
        counts["records"] += 1
        if r.get("erased"):
            counts["erased"] += 1
            gone.append(seq)
            continue
        body = r["body"].encode()
        if hashlib.sha256(bytes.fromhex(r["nonce"]) + body).digest() != leaf:
            bad("record %d: its leaf is not the hash of its body" % seq)
        for entry in body.decode().split("\n")[1:-1]:
            acts += erased_by(json.loads(entry))
    fill(size)
    if next(proof, None) is not None:
        bad("proof: it has a line too many")
    for seq in gone:
        if not any(seq in a for a in acts):
            bad("record %d: it is gone, and no act erased it" % seq)
    for name, n in counts.items():
        if m["counts"][name] != n:
            bad("manifest.json: it counts %d %s, there are %d" % (m["counts"][name], name, n))
    return tree.root(), roots


def consistency(bundle, size, root, old, seen):
    """Checks the proofs, and whether the old checkpoint, if any, is what one of them, or this one, continues."""
    seen[size] = root
    text = bundle.read("consistency").decode()
    for one in text.split("\n\n")[:-1]:
        lines = one.split("\n")
        _, n, digest = lines[1].split(" ")
        hashes = [base64.b64decode(h.removeprefix("hash "), validate=True) for h in lines[2:]]
        seen[int(n)] = base64.b64decode(digest, validate=True)
        if lines[0] != "siaga112 consistency v1" or not consistent(int(n), seen[int(n)], size, root, hashes):
            bad("consistency: the ledger does not continue the checkpoint of %s records" % n)
    if old and old[0] not in seen:
        bad("no proof from the old checkpoint of %d records is in the bundle: ask for siaga112 cdr prove --since" % old[0])
    elif old and seen[old[0]] != old[1]:
        bad("the history was rewritten: the old checkpoint of %d records has another root" % old[0])


def verify(path, key, old):
    bundle = zipfile.ZipFile(path)
    if bundle.namelist() != FILES + ["manifest.json", "manifest.note"]:
        bad("it has other files than a bundle has: " + " ".join(bundle.namelist()))
    m = manifest(bundle, key)
    size, root, at = checkpoint(bundle.read("checkpoint"), key)
    if (m["size"], m["root"]) != (size, base64.b64encode(root).decode()):
        bad("manifest.json: it speaks of another checkpoint")
    old = old and checkpoint(old, key)
    made, roots = records(bundle, m, size, old and old[0])
    if made != root:
        bad("the records and the proof make another root than the checkpoint says")
    consistency(bundle, size, root, old, roots)
    print("bundle of %s for %s: %s; of: %s" % (key.name, m["by"], m["why"], m["filter"] or "everything"))
    print("%d of %d records, as of %s" % (m["counts"]["records"], size, at))


def main(path, key, old=None):
    try:
        if os.path.exists(key):
            with open(key, encoding="utf-8") as f:
                key = f.read()
        if old:
            with open(old, "rb") as f:
                old = f.read()
        verify(path, Key(key), old)
    except (ValueError, LookupError, OSError, EOFError, zipfile.BadZipFile) as e:
        bad(str(e))
    print("\n".join(faults) or "verified")
    return 1 if faults else 0


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
