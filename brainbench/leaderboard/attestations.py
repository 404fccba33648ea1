"""What a verifier says of an entry, signed: `attestations/<folder>/<benchmark>.<n>.json` and its `.sig`.

Signatures are those of `ssh-keygen -Y`, which every machine with ssh has, made in the namespace "brainbench" and
checked against `allowed_signers` beside `results/`. An attestation names the sha256 of the entry's file: whoever
changes a digit of either has an entry without a badge. Attestations are added and never changed, so what was
disputed or withdrawn keeps its history, and stays so until a signer lifts it, whatever file takes the entry's place.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError, model_validator

from brainbench.errors import AccessError, InputError, ResourceError, UsageError, VerificationError, listed
from brainbench.leaderboard.cards import Line, Paragraph, Sha256, read_cards, successors
from brainbench.leaderboard.untrusted import Problem, content_of, files_of, first_error, named, parsed, shown

MOST = 9999  # verdicts on one entry
FOLDER, SIGNERS, NAMESPACE = "attestations", "allowed_signers", "brainbench"
LIMITS = {".json": 16_384, ".sig": 16_384}
Verdict = Literal["spot-checked", "reproduced", "disputed", "withdrawn", "lifted"]
BADGES = ("reproduced", "spot-checked")  # the highest first
OBJECTIONS = ("disputed", "withdrawn")
LIFTED, SELF_REPORTED = "lifted", "self-reported"
_SIGNER = r"^[A-Za-z0-9][A-Za-z0-9._+@-]{0,99}$"
_RIGHT = {
    "entry": "an entry's file is results/<folder>/<benchmark>.json",
    "signer": f"a name as in {SIGNERS} has at most 100 letters, digits and . _ + @ -, such as host@lab",
    "reason": "a reason is one line of at most 1000 characters",
}


class Attestation(BaseModel):
    """One verdict on one entry's file. `largest_difference` is the largest of its scores from the recomputed ones.

    `number` is that of its file: being signed, no verdict can be brought again behind the one that answered it.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    schema_version: Literal[1] = 1
    entry: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._+@-]{1,120}/[A-Za-z0-9._+-]{1,110}\.json$")]
    entry_sha256: Sha256
    number: int = Field(ge=1, le=MOST)
    verdict: Verdict
    signer: Annotated[str, StringConstraints(pattern=_SIGNER)]
    date: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    reason: Paragraph = ""
    largest_difference: float | None = Field(default=None, ge=0)
    environment: dict[str, Line] = Field(default={}, max_length=20)

    @model_validator(mode="after")
    def _reasoned(self) -> Self:
        if self.verdict not in BADGES and not self.reason:
            raise ValueError(f"an entry is {self.verdict} for a reason, and none is given")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """The verdicts on an entry's file as it stands, and on `earlier` ones whose place it took; oldest first."""

    verdicts: tuple[Attestation, ...] = ()
    earlier: tuple[Attestation, ...] = ()

    @property
    def objections(self) -> dict[str, Attestation]:
        """The disputes and withdrawals that stand, by the entry that they were signed of: that is where each is lifted.

        Each entry is taken by itself, or a lift of one would clear what was objected to another.
        """
        standing: dict[str, Attestation] = {}
        for attestation in (*self.earlier, *self.verdicts):
            if attestation.verdict in OBJECTIONS:
                standing[attestation.entry] = attestation
            elif attestation.verdict == LIFTED:
                standing.pop(attestation.entry, None)
        return standing

    @property
    def objection(self) -> Attestation | None:
        """One that stands, of this entry or of one whose place it took: the last, or None."""
        return next(reversed(self.objections.values()), None)

    @property
    def trust(self) -> str:
        """What is objected to it; else the highest badge of the file as it stands, self-reported where it has none."""
        if self.objection is not None:
            return self.objection.verdict
        own = {attestation.verdict for attestation in self.verdicts}
        return next((badge for badge in BADGES if badge in own), SELF_REPORTED)


def read_all(root: Path, signers: Path | None = None) -> tuple[dict[str, Attested], list[Problem]]:
    """The verdicts of a leaderboard that hold, by entry (`<folder>/<benchmark>.json`), and what is wrong with others.

    A verdict holds where its signature is that of one of the allowed signers. On a file that is no more it is history
    where a card supersedes that file, and else a problem. Raises AccessError where there are attestations and no
    ssh-keygen.
    """
    found: dict[str, list[Attestation]] = {}
    problems: list[Problem] = []
    signers = signers or root / SIGNERS
    told = successors(read_cards(root / "results"))
    top = root / FOLDER
    if top.is_symlink() or (top.exists() and not top.is_dir()):
        problems.append(Problem(file=FOLDER, message="is a link or a file: attestations lie in a folder"))
    folders = sorted(top.iterdir()) if top.is_dir() and not top.is_symlink() else []
    for folder in folders:
        if why := named(folder.name):
            problems.append(Problem(file=f"{FOLDER}/{shown(folder.name)}", message=why))
            continue
        files, wrong = files_of(folder, LIMITS)
        problems += [Problem(file=f"{FOLDER}/{p.file}", message=p.message) for p in wrong]
        for name, path in files.items():
            if name.endswith(".sig"):
                if name.removesuffix(".sig") not in files:
                    problems.append(
                        Problem(file=f"{FOLDER}/{folder.name}/{name}", message="signs nothing that is here")
                    )
                continue
            label = f"{FOLDER}/{folder.name}/{name}"
            try:
                attestation = _checked(path, files.get(f"{name}.sig"), signers)
            except InputError as error:
                problems.append(Problem(file=label, message=str(error)))
                continue
            found.setdefault(attestation.entry, []).append(attestation)
            entry, digest = attestation.entry, attestation.entry_sha256
            if digest != _sha256(root, entry) and (entry, digest) not in told:
                why = (
                    f"{entry} is not the file that was attested: it was changed since, and no card supersedes that one"
                )
                problems.append(Problem(file=label, field="entry_sha256", message=why))
    return _by_entry(root, found, told), problems


def _by_entry(
    root: Path, found: Mapping[str, list[Attestation]], told: Mapping[tuple[str, str], Sequence[str]]
) -> dict[str, Attested]:
    """The verdicts in their order, those on files that `told` says were superseded also where their successors are."""
    before: dict[str, set[str]] = {}
    for (old, _), new in told.items():
        for path in new:
            before.setdefault(path, set()).add(old)
    attested = {}
    for entry in found.keys() | before.keys():
        line = [entry]  # and what it took the place of, and what that did
        for path in line:
            line += sorted(before.get(path, set()).difference(line))
        whole = [a for path in reversed(line) for a in sorted(found.get(path, ()), key=lambda a: a.number)]
        own = [a for a in whole if (a.entry, a.entry_sha256) == (entry, _sha256(root, entry))]
        attested[entry] = Attested(verdicts=tuple(own), earlier=tuple(a for a in whole if a not in own))
    return attested


def _sha256(root: Path, entry: str) -> str:
    """That of an entry's file as it stands; empty where there is none."""
    try:
        return hashlib.sha256(content_of(root / "results" / entry)).hexdigest()
    except InputError:
        return ""


def _checked(path: Path, signature: Path | None, signers: Path) -> Attestation:
    content = content_of(path, LIMITS[".json"])
    attestation: Attestation = parsed(_adapter, content, "the attestation")
    right = f"{attestation.entry.removesuffix('.json')}.{attestation.number}.json"
    if f"{path.parent.name}/{path.name}" != right:
        raise InputError(f"is number {attestation.number} about {attestation.entry}, so it must be {right}")
    if signature is None:
        raise InputError(f"has no signature: {path.name}.sig is missing")
    _verify(content, signature, attestation.signer, signers)
    return attestation


def _verify(content: bytes, signature: Path, signer: str, signers: Path) -> None:
    if not signers.is_file():
        raise InputError(f"signer: there is no {SIGNERS}, so nobody's signature counts")
    content_of(signature, LIMITS[".sig"])
    who = ("-f", str(signers), "-I", signer, "-n", NAMESPACE)
    if _ssh_keygen("-Y", "verify", *who, "-s", str(signature), given=content).returncode:
        raise InputError(f"signer: this is no signature of {shown(signer)} as {SIGNERS} knows that signer")


def check(root: Path, entries: Sequence[str], verdict: Verdict, *, key: Path, signer: str, reason: str = "") -> None:
    """Raises what `attest` would raise for these entries, and UsageError where their verdicts forbid this one.

    A badge is for an entry that can be recomputed and that nobody objects to, and lifting for one that is disputed or
    withdrawn. Nothing is written: the key is tried on a text that is thrown away.
    """
    for entry in entries:
        _drafted(root, entry, verdict, number=1, signer=signer, reason=reason)
    _signature(b"a trial\n", key=key, signer=signer, signers=root / SIGNERS)
    attested, _ = read_all(root)
    cards = read_cards(root / "results")
    for entry in entries:
        card = cards.get(entry.partition("/")[0])
        if verdict in BADGES and card is not None and card.submission == "scores":
            raise UsageError(f"{entry} was submitted as scores alone, which nobody can recompute: no badge is for it")
        found = attested.get(entry, Attested())
        if verdict in BADGES and found.objection is not None:
            last = found.objection
            raise UsageError(
                f"{entry} is {last.verdict} by {last.signer} ({last.reason}), which no badge changes: a signer first "
                f"lifts it with `brainbench leaderboard attest` on {last.entry}, --verdict lifted and a --reason"
            )
        if verdict == LIFTED and entry not in found.objections:
            where = f"; what is objected to is {listed(found.objections)}" if found.objections else ""
            raise UsageError(f"{entry} is neither {' nor '.join(OBJECTIONS)}: there is nothing to lift{where}")


def attest(
    root: Path,
    entry: str,
    verdict: Verdict,
    *,
    key: Path,
    signer: str,
    reason: str = "",
    sha256: str | None = None,
    **found: Any,
) -> Path:
    """Writes and signs a verdict on `<folder>/<benchmark>.json` with the ssh key at `key`; gives its path.

    `sha256` is that of the file which the verdict is about, None for the file as it is now; `found` are the other
    fields of an Attestation. Raises UsageError where a field is not what it must be or `allowed_signers` does not know
    signer and key together; InputError where there is no such entry; VerificationError where it is another file by
    now; ResourceError where the files cannot be written; AccessError without ssh-keygen. Then nothing is left behind.
    """
    where = root / FOLDER / entry.partition("/")[0]
    named = re.compile(re.escape(entry.partition("/")[2].removesuffix(".json")) + r"\.(\d{1,4})\.json(\.sig)?")
    there = [named.fullmatch(path.name) for path in where.glob("*")]
    number = 1 + max((int(match[1]) for match in there if match), default=0)
    if number > MOST:
        raise InputError(f"nothing was attested: {where} has a verdict number {MOST} on {entry}, the last there can be")
    content = _drafted(root, entry, verdict, sha256, number=number, signer=signer, reason=reason, **found)
    signature = _signature(content, key=key, signer=signer, signers=root / SIGNERS)
    path = where / f"{entry.partition('/')[2].removesuffix('.json')}.{number}.json"
    written: list[Path] = []
    try:
        where.mkdir(parents=True, exist_ok=True)
        for place, data in ((path.with_name(f"{path.name}.sig"), signature), (path, content)):
            with place.open("xb") as file:
                written.append(place)
                file.write(data)
    except OSError as error:
        for place in written:
            place.unlink()
        with suppress(OSError):  # they are not empty
            where.rmdir()
            where.parent.rmdir()
        raise ResourceError(f"nothing was attested: cannot write {path}: {error.strerror}") from None
    return path


def _drafted(root: Path, entry: str, verdict: Verdict, sha256: str | None = None, **fields: Any) -> bytes:
    """The text of an attestation of today. Raises UsageError, saying what would be right, for a field that is not, and
    VerificationError where the entry's file has not this `sha256`.
    """
    facts = {"entry": entry, "verdict": verdict, "date": date.today().isoformat(), **fields}
    try:
        # what the caller gave is looked at before the entry's file is
        Attestation.model_validate(facts | {"entry_sha256": "0" * 64})
    except ValidationError as error:
        field = str((error.errors()[0]["loc"] or ("",))[0])
        right = f"; {_RIGHT[field]}" if field in _RIGHT else ": give it with --reason"
        raise UsageError(f"nothing was attested: {first_error(error)}{right}") from None
    digest = hashlib.sha256(content_of(root / "results" / entry)).hexdigest()
    if sha256 not in (None, digest):
        raise VerificationError(
            f"nothing was attested of {entry}: its file was changed since it was read to be recomputed. Verify again."
        )
    drafted = Attestation.model_validate(facts | {"entry_sha256": digest})
    return (json.dumps(drafted.model_dump(mode="json"), indent=1) + "\n").encode()


def _signature(content: bytes, *, key: Path, signer: str, signers: Path) -> bytes:
    """A signature that holds. Raises UsageError where this key makes none, or it is not the key of that signer."""
    done = _ssh_keygen("-Y", "sign", "-f", str(key), "-n", NAMESPACE, given=content, seconds=None)  # may ask somebody
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip()
        raise UsageError(f"nothing was attested: ssh-keygen cannot sign with {key}: {why}")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "signature"
        path.write_bytes(done.stdout)
        try:
            _verify(content, path, signer, signers)
        except InputError as error:
            raise UsageError(f"nothing was attested: {error}") from None
    return done.stdout


def _ssh_keygen(*arguments: str, given: bytes, seconds: int | None = 60) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["ssh-keygen", *arguments], input=given, capture_output=True, timeout=seconds, check=False
        )
    except FileNotFoundError:
        raise AccessError(
            "attestations are signed and checked with ssh-keygen: install OpenSSH (8.1 or later)"
        ) from None


_adapter: TypeAdapter[Attestation] = TypeAdapter(Attestation)
