"""The bundle format, read as docs/reference/bundle-format.md describes it."""

import hashlib
import re

LABEL = re.compile(rb"[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z")
SURFACE = re.compile(r"[A-Za-z0-9_.-]{1,128}\Z")
LARGEST = 1 << 28
TYPES = ["human", "service", "agent"]
RISKS = ["read", "write", "destructive"]
KINDS = ["tools", "prompts", "resources", "routes"]
SECTIONS = [
    "project", "scopes", "issuers", "groups", "tags", "principals", "servers", "surfaces",
    "schemas", "attributes", "formulas", "roles", "role sets", "bindings", "rules",
]


class Refused(Exception):
    """The bytes are not what they must be."""


def ensure(holds, what):
    if not holds:
        raise Refused(what)


def rising(entries, what):
    entries = list(entries)
    ensure(all(a < b for a, b in zip(entries, entries[1:])), f"{what}: not sorted and distinct")
    return entries


def below(ids, count, what):
    ensure(all(at < count for at in ids), f"{what}: an id without an entry")
    return ids


class Reader:
    """The alphabet: little-endian numbers, counted lists, tagged choices, columns."""

    def __init__(self, data, what):
        self.data, self.at, self.what = data, 0, what

    def take(self, count):
        ensure(count <= len(self.data) - self.at, f"{self.what}: the bytes end too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, width, signed=False):
        return int.from_bytes(self.take(width), "little", signed=signed)

    def u8(self):
        return self.number(1)

    def u32(self):
        return self.number(4)

    def time(self):
        return self.number(8, signed=True)

    def choice(self, count):
        value = self.u8()
        ensure(value < count, f"{self.what}: a choice that does not exist")
        return value

    def flag(self):
        return self.choice(2) == 1

    def text(self):
        return self.utf8(self.take(self.u32()))

    def utf8(self, data):
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused(f"{self.what}: a text that is not UTF-8") from None

    def list(self, entry):
        count = self.u32()
        ensure(count <= len(self.data) - self.at, f"{self.what}: a count larger than what is left")
        return [entry() for _ in range(count)]

    def texts(self):
        return self.list(self.text)

    def ids(self):
        return self.list(self.u32)

    def maybe(self, entry):
        return entry() if self.flag() else None

    def column(self, count, width=4, signed=False):
        data = self.take(count * width)
        cells = (data[at : at + width] for at in range(0, len(data), width))
        return [int.from_bytes(cell, "little", signed=signed) for cell in cells]

    def heap(self, lengths):
        ends, end = [], 0
        for length in lengths:
            end += length
            ends.append(end)
        heap = self.take(end)
        return [heap[end - length : end] for end, length in zip(ends, lengths)]

    def labels(self):
        names = self.heap(list(self.take(self.u32())))
        legal = all(len(name) <= 63 and LABEL.match(name) for name in names)
        ensure(legal, f"{self.what}: an illegal name")
        return [name.decode("ascii") for name in names]

    def flags(self, count, known):
        flags = list(self.take(count))
        ensure(all(it & ~known == 0 for it in flags), f"{self.what}: a flag that does not exist")
        return flags

    def sparse(self, flags, flag, width=4, signed=False):
        """The values of the entries that have a flag, by position; None elsewhere."""
        marked = [at for at, it in enumerate(flags) if it & flag]
        values = dict(zip(marked, self.column(len(marked), width, signed)))
        return [values.get(at) for at in range(len(flags))]

    def end(self):
        ensure(self.at == len(self.data), f"{self.what}: bytes are left over")


class Bundle:
    """A slice: its tables, each proved when it was read."""

    def __init__(self, data):
        ensure(len(data) <= LARGEST, "larger than any bundle")
        ensure(data[:4] == b"LKB\x01", "not a bundle of format version 1")
        table = Reader(data[4 : 4 + 5 * len(SECTIONS)], "section table")
        at = 4 + 5 * len(SECTIONS)
        for tag, section in enumerate(SECTIONS):
            ensure(table.u8() == tag, "another section was expected")
            length = table.u32()
            reader = Reader(data[at : at + length], section)
            ensure(len(reader.data) == length, f"{section}: the bytes end too early")
            getattr(self, "read_" + section.replace(" ", "_"))(reader)
            reader.end()
            at += length
        ensure(at == len(data), "bytes are left over")

    def read_project(self, it):
        self.project = it.text()
        ensure(LABEL.match(self.project.encode()) and len(self.project) < 64, "an illegal name")

    def read_scopes(self, it):
        organizations = rising(it.labels(), it.what)
        counts = it.column(len(organizations))
        teams = it.labels()
        ensure(sum(counts) == len(teams), "the organizations have other teams")
        self.scopes, self.organizations, at = ["platform"], set(), 0
        for organization, count in zip(organizations, counts):
            self.organizations.add(len(self.scopes))
            self.scopes.append(organization)
            own = rising(teams[at : at + count], it.what)
            self.scopes.extend(f"{organization}/{team}" for team in own)
            at += count

    def read_issuers(self, it):
        def issuer():
            entry = {"name": it.text(), "url": it.text(), "audiences": it.texts()}
            entry["algorithms"] = it.list(lambda: it.choice(3))
            entry["keys"], entry["organizations"] = it.text(), it.ids()
            entry["undeclared"] = it.flag()
            entry["undeclared_type"] = it.maybe(lambda: it.choice(3))
            entry["groups_claim"] = it.maybe(it.text)
            entry["clock_skew"], entry["max_lifetime"] = it.u32(), it.u32()
            entry["settings"] = it.text()
            ensure(entry["url"], "an issuer without a URL")
            for column in ["audiences", "algorithms", "organizations"]:
                rising(entry[column], it.what)
            known = all(at in self.organizations for at in entry["organizations"])
            ensure(known, "an issuer speaks for organizations only")
            return entry

        self.issuers = it.list(issuer)
        self.names(it, self.issuers)
        ensure(len({one["url"] for one in self.issuers}) == len(self.issuers), "one URL twice")

    def names(self, it, entries):
        names = rising((entry["name"].encode() for entry in entries), it.what)
        legal = all(len(name) <= 63 and LABEL.match(name) for name in names)
        ensure(legal, f"{it.what}: an illegal name")

    def read_groups(self, it):
        self.groups = it.list(
            lambda: {"name": it.text(), "claim": it.maybe(lambda: (it.u32(), it.text()))}
        )
        self.names(it, self.groups)
        claims = (group["claim"][0] for group in self.groups if group["claim"])
        below(list(claims), len(self.issuers), it.what)

    def read_tags(self, it):
        self.tags = rising(it.labels(), it.what)

    def read_principals(self, it):
        names = rising(it.labels(), it.what)
        count = len(names)
        types = it.column(count, 1)
        below(types, 3, it.what)
        scopes = below(it.column(count), len(self.scopes), it.what)
        flags = it.flags(count, 31)
        not_before = it.sparse(flags, 1, 8, True)
        expires = it.sparse(flags, 2, 8, True)
        tags = self.relation(it, flags, 8, len(self.tags))
        groups = self.relation(it, flags, 16, len(self.groups))
        self.principals = [
            {
                "name": names[at],
                "type": TYPES[types[at]],
                "scope": self.scopes[scopes[at]],
                "suspended": flags[at] & 4 != 0,
                "dates": dates(not_before[at], expires[at]),
                "tags": [self.tags[tag] for tag in tags[at]],
                "groups": [self.groups[group]["name"] for group in groups[at]],
                "identities": [],
            }
            for at in range(count)
        ]
        self.read_identities(it)

    def relation(self, it, flags, flag, count):
        lengths = it.sparse(flags, flag)
        ensure(0 not in lengths, f"{it.what}: a list that must not be empty")
        items = it.column(sum(length or 0 for length in lengths))
        below(items, count, it.what)
        lists, at = [], 0
        for length in lengths:
            lists.append(rising(items[at : at + (length or 0)], it.what))
            at += length or 0
        return lists

    def read_identities(self, it):
        counts = it.column(it.u32())
        ensure(len(counts) <= len(self.issuers), f"{it.what}: an id without an entry")
        ensure(not counts or counts[-1] > 0, "the last issuer of identities has one")
        whose = below(it.column(sum(counts)), len(self.principals), it.what)
        lengths = it.column(it.u32())
        ensure(len(lengths) == len(whose), f"{it.what}: columns of different lengths")
        subjects, at = it.heap(lengths), 0
        for issuer, count in enumerate(counts):
            own = rising(subjects[at : at + count], it.what)
            ensure(all(own), "an identity without a subject")
            for subject, principal in zip(own, whose[at : at + count]):
                identity = [self.issuers[issuer]["name"], it.utf8(subject)]
                self.principals[principal]["identities"].append(identity)
            at += count

    def read_servers(self, it):
        def server():
            entry = {"name": it.text(), "scope": it.u32(), "transport": it.choice(2)}
            entry["upstream"], entry["disclose"] = it.text(), it.choice(3)
            entry["limits"] = [it.u32(), it.u32(), it.u32()]
            entry["settings"] = it.text()
            below([entry["scope"]], len(self.scopes), it.what)
            return entry

        self.servers = it.list(server)
        self.names(it, self.servers)

    def read_surfaces(self, it):
        self.surfaces = it.list(lambda: self.surface(it))
        rising(((one["server"], one["name"].encode()) for one in self.surfaces), it.what)
        self.permissions = []
        for one in self.surfaces:
            full = f"{self.servers[one['server']]['name']}/{one['name']}"
            base = f"{KINDS[one['tag']]}:{full}:call"
            if one["operations"] is None:
                self.permissions.append(base)
            else:
                self.permissions.extend(f"{base}:{value}" for value, _ in one["operations"])

    def surface(self, it):
        entry = {"server": it.u32(), "name": it.text(), "tag": it.choice(4)}
        below([entry["server"]], len(self.servers), it.what)
        ensure(SURFACE.match(entry["name"]), "an illegal name")
        entry["texts"] = [it.text() for _ in range([0, 0, 1, 2][entry["tag"]])]
        entry["risk"], entry["unlock"], entry["access"] = it.choice(3), it.choice(2), it.choice(3)
        ensure(not (entry["access"] == 2 and entry["risk"] == 2), "public and destructive")
        entry["operations"] = it.maybe(lambda: self.operations(it, entry["risk"]))
        self.scope_source(it)
        facts = it.list(lambda: self.argument_fact(it))
        rising(facts, it.what)
        entry["schema"] = it.maybe(it.u32)
        entry["obligations"] = rising(it.list(lambda: obligation(it)), it.what)
        rising((text.encode() for text in it.texts()), it.what)
        entry["settings"] = it.text()
        return entry

    def argument(self, it):
        path = it.texts()
        ensure(path, "an argument without a name")
        return [name.encode() for name in path]

    def operations(self, it, risk):
        self.argument(it)
        values = it.list(lambda: (it.text(), it.choice(3)))
        ensure(values and max(risk for _, risk in values) == risk, "operations of another risk")
        rising((value.encode() for value, _ in values), it.what)
        return values

    def scope_source(self, it):
        tag = it.choice(5)
        if tag == 2:
            self.argument(it)
            exact = it.list(lambda: (it.text().encode(), it.u32()))
            prefixes = it.list(lambda: (it.text().encode(), it.u32()))
            rising((text for text, _ in exact), it.what)
            rising(((-len(text), text) for text, _ in prefixes), it.what)
            below([scope for _, scope in exact + prefixes], len(self.scopes), it.what)
        elif tag == 3:
            self.argument(it)
            it.flag()

    def argument_fact(self, it):
        path = self.argument(it)
        it.maybe(lambda: it.choice(2))
        rising((text.encode() for text in it.texts()), it.what)
        it.maybe(it.text)
        it.flag()
        return path

    def read_schemas(self, it):
        self.schemas = it.texts()
        rising((text.encode() for text in self.schemas), it.what)
        named = (one["schema"] for one in self.surfaces if one["schema"] is not None)
        below(list(named), len(self.schemas), it.what)

    def read_attributes(self, it):
        def segment():
            return (0, it.text().encode()) if it.choice(2) == 0 else (1,)

        self.attributes = it.list(lambda: (it.choice(5), it.list(segment)))
        rising(self.attributes, it.what)

    def read_formulas(self, it):
        self.formulas, self.schedules = [], {}
        for at in range(it.u32()):
            self.formulas.append(self.formula(it, at))

    def formula(self, it, at):
        tag = it.choice(6)
        if tag == 0:
            return tag, it.flag()
        if tag in (1, 2):
            parts = rising(below(it.ids(), at, it.what), it.what)
            ensure(len(parts) > 1, "a formula of less than two parts")
            return tag, parts
        if tag == 3:
            return tag, self.test(it), it.flag()
        attribute = below([it.u32()], len(self.attributes), it.what)
        return tag, attribute, below([it.u32()], at, it.what)

    def test(self, it):
        tag = it.choice(13)
        parts = [tag, *below([it.u32()], len(self.attributes), it.what)]
        shapes = {2: "cv", 3: "l", 4: "v", 5: "t", 6: "t", 7: "t", 8: "t", 9: "cs", 10: "n", 11: "a", 12: "w"}
        read = {
            "c": lambda: it.choice(5),
            "v": lambda: self.value(it),
            "l": lambda: it.list(lambda: self.value(it)),
            "t": it.text,
            "s": lambda: it.number(8),
            "n": lambda: (it.number(16), it.number(16)),
            "w": lambda: self.schedule(it),
            "a": lambda: below([it.u32()], len(self.attributes), it.what)[0],
        }
        return parts + [read[part]() for part in shapes.get(tag, "")]

    def schedule(self, it):
        entry = it.text(), it.time(), it.time(), it.list(lambda: (it.time(), it.time()))
        name, not_before, expires, windows = entry
        ensure(len(name) <= 63 and LABEL.match(name.encode()), "an illegal name")
        ends = [end for window in windows for end in window]
        rising(ends, it.what)
        known = not_before < expires
        within = all(not_before <= end <= expires for end in ends)
        ensure(known and within, "windows beyond what is known of a schedule")
        ensure(self.schedules.setdefault(name, entry) == entry, "two schedules of one name")
        return entry

    def value(self, it):
        tag = it.choice(4)
        return tag, [it.flag, lambda: self.decimal(it), it.text, it.time][tag]()

    def decimal(self, it):
        billionths = it.number(16, True)
        largest = 10**15 if billionths % 10**9 else 2**53 - 1
        ensure(abs(billionths) <= largest * 10**9, "a number beyond what policy can read")
        return billionths

    def read_roles(self, it):
        names = rising(it.labels(), it.what)
        lists = self.lists(it, len(names), len(self.permissions), 1)
        self.roles = list(zip(names, lists))

    def read_role_sets(self, it):
        self.sets = [[at] for at in range(len(self.roles))]
        self.sets += rising(self.lists(it, it.u32(), len(self.roles), 2), it.what)

    def lists(self, it, count, limit, least):
        lengths = it.column(count)
        ensure(all(length >= least for length in lengths), f"{it.what}: a list too short")
        items = below(it.column(sum(lengths)), limit, it.what)
        lists, at = [], 0
        for length in lengths:
            lists.append(rising(items[at : at + length], it.what))
            at += length
        return lists

    def read_bindings(self, it):
        holders = [("", one["name"]) for one in self.principals]
        holders += [("group:", one["name"]) for one in self.groups]
        holders += [("tag:", tag) for tag in self.tags] + [("type:", kind) for kind in TYPES]
        counts = it.column(len(holders))
        names = it.labels()
        ensure(sum(counts) == len(names), "subjects have other bindings than there are")
        flags = it.flags(len(names), 31)
        scopes = below(it.column(len(names)), len(self.scopes), it.what)
        sets = below(it.column(len(names)), len(self.sets), it.what)
        lengths = it.sparse(flags, 16)
        ensure(0 not in lengths, f"{it.what}: a list that must not be empty")
        more = [self.number(it, one) for one in it.column(sum(one or 0 for one in lengths))]
        conditions = it.sparse(flags, 1)
        below([one for one in conditions if one is not None], len(self.formulas), it.what)
        not_before = it.sparse(flags, 2, 8, True)
        expires = it.sparse(flags, 4, 8, True)
        self.bindings, at, next_more = [], 0, 0
        for first, count in enumerate(counts):
            rising(((scopes[one], names[one]) for one in range(at, at + count)), it.what)
            for one in range(at, at + count):
                length = lengths[one] or 0
                who = rising([first, *more[next_more : next_more + length]], it.what)
                next_more += length
                self.bindings.append(
                    {
                        "name": names[one],
                        "who": ["".join(holders[number]) for number in who],
                        "roles": [self.roles[role][0] for role in self.sets[sets[one]]],
                        "scope": self.scopes[scopes[one]],
                        "condition": conditions[one],
                        "dates": dates(not_before[one], expires[one]),
                        "cross_organization": flags[one] & 8 != 0,
                    }
                )
            at += count

    def number(self, it, subject):
        """The position of a subject among all that there are."""
        kind, at = subject >> 29, subject & (1 << 29) - 1
        counts = [len(self.principals), len(self.groups), len(self.tags), 3]
        ensure(kind < 4 and at < counts[kind], f"{it.what}: a subject that does not exist")
        return sum(counts[:kind]) + at

    def subject(self, it):
        packed = it.u32()
        if packed == 4 << 29:
            return packed, "everyone"
        self.number(it, packed)
        kind, at = packed >> 29, packed & (1 << 29) - 1
        if kind == 0:
            return packed, self.principals[at]["name"]
        if kind == 1:
            return packed, "group:" + self.groups[at]["name"]
        return packed, "tag:" + self.tags[at] if kind == 2 else "type:" + TYPES[at]

    def read_rules(self, it):
        self.rules = it.list(lambda: self.rule(it))
        self.names(it, self.rules)

    def rule(self, it):
        entry = {"name": it.text(), "effect": "deny"}
        if it.choice(2) == 1:
            required = rising(it.list(lambda: obligation(it)), it.what)
            ensure(required, "a rule that requires nothing")
            entry["effect"] = {"require": [limit(one) for one in required]}
        for column in ["who", "except"]:
            subjects = rising(it.list(lambda: self.subject(it)), it.what)
            entry[column] = [name for _, name in subjects]
        permissions = rising(below(it.ids(), len(self.permissions), it.what), it.what)
        ensure(permissions, "no permission")
        entry["permissions"] = [self.permissions[one] for one in permissions]
        entry["scope"] = self.scopes[below([it.u32()], len(self.scopes), it.what)[0]]
        entry["condition"] = it.maybe(it.u32)
        condition = [] if entry["condition"] is None else [entry["condition"]]
        below(condition, len(self.formulas), it.what)
        entry["dates"] = dates(it.maybe(it.time), it.maybe(it.time))
        entry["message"] = it.maybe(it.text)
        return entry


def obligation(it):
    tag = it.choice(2)
    return (tag, it.choice(5), it.choice(2), *(it.u32() for _ in range(2 - tag)))


def limit(one):
    tag, pool, reach, *amounts = one
    pools = ["caller", "team", "organization", "source", "everyone"]
    return {["rate", "concurrency"][tag]: [pools[pool], ["surface", "server"][reach], *amounts]}


def dates(not_before, expires):
    return [None if end is None else instant(end) for end in (not_before, expires)]


def instant(seconds):
    """RFC 3339, by Howard Hinnant's algorithm: the calendar of a library may end too early."""
    days, second = divmod(seconds, 86_400)
    era, of_era = divmod(days + 719_468, 146_097)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    day = of_year - (153 * shifted + 2) // 5 + 1
    year += era * 400 + (month <= 2)
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return f"{year:04}-{month:02}-{day:02}T{clock}Z"


def places(data):
    """How many places a places file holds."""
    ensure(data[:4] == b"LKM\x01", "not a places file of format version 1")
    it = Reader(data[4:], "places")
    entries = it.list(lambda: (it.choice(3), it.text(), it.text(), it.u32(), it.u32()))
    it.end()
    rising(((kind, name.encode()) for kind, name, *_ in entries), it.what)
    for _, name, _, line, column in entries:
        ensure(LABEL.match(name.encode()) and len(name) < 64, "an illegal name")
        ensure(line > 0 and column > 0, "lines and columns count from 1")
    return len(entries)


def facts(name, data):
    """What `latchkey inspect --format json` says of a slice."""
    it = Bundle(data)
    denies = sum(rule["effect"] == "deny" for rule in it.rules)
    tables = {
        "scopes": it.scopes,
        "issuers": [one["name"] for one in it.issuers],
        "groups": [one["name"] for one in it.groups],
        "tags": it.tags,
        "principals": [one["name"] for one in it.principals],
        "servers": [one["name"] for one in it.servers],
        "surfaces": [f"{it.servers[one['server']]['name']}/{one['name']}" for one in it.surfaces],
        "permissions": it.permissions,
        "roles": [role for role, _ in it.roles],
        "bindings": [one["name"] for one in it.bindings],
        "rules": [one["name"] for one in it.rules],
    }
    counts = {
        "organizations_and_teams": len(it.scopes) - 1,
        "issuers": len(it.issuers),
        "principals": len(it.principals),
        "groups": len(it.groups),
        "surfaces": len(it.surfaces),
        "permissions": len(it.permissions),
        "schemas": len(it.schemas),
        "roles": len(it.roles),
        "bindings": len(it.bindings),
        "deny_rules": denies,
        "require_rules": len(it.rules) - denies,
        "formulas": len(it.formulas),
    }
    return {
        "file": name,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "project": it.project,
        "servers": tables["servers"],
        "counts": counts,
        "names": tables,
        "principals": it.principals,
        "surfaces": [surface_facts(it, one) for one in it.surfaces],
        "settings": {
            table: [one["settings"] for one in getattr(it, table)]
            for table in ["issuers", "servers", "surfaces"]
        },
        "roles": [
            {"name": name, "permissions": [it.permissions[one] for one in given]}
            for name, given in it.roles
        ],
        "bindings": it.bindings,
        "rules": it.rules,
    }


def surface_facts(it, one):
    kinds = ["tool", "prompt", {"resource": one["texts"][:1]}, {"route": one["texts"]}]
    kind = kinds[one["tag"]]
    if one["tag"] == 2:
        kind = {"resource": one["texts"][0]}
    schema = one["schema"]
    return {
        "name": one["name"],
        "kind": kind,
        "risk": RISKS[one["risk"]],
        "access": ["permission", "authenticated", "public"][one["access"]],
        "unlock": ["breakglass", "grant"][one["unlock"]],
        "obligations": [limit(it) for it in one["obligations"]],
        "schema": None
        if schema is None
        else hashlib.sha256(it.schemas[schema].encode()).hexdigest(),
    }
