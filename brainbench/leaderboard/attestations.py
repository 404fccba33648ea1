"""What a verifier says of an entry, signed: `attestations/<folder>/<benchmark>.<n>.json` and its `.sig`.

Signatures are those of `ssh-keygen -Y`, which every machine with ssh has, made in the namespace "brainbench" and
checked against `allowed_signers` beside `results/`. An attestation names the sha256 of the entry's file: whoever
changes a digit of either has an entry without a badge. Attestations are added and never changed, so what was
disputed or withdrawn keeps its history.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter

from brainbench.errors import AccessError, InputError, UsageError
from brainbench.leaderboard.cards import Line, Paragraph, Sha256
from brainbench.leaderboard.untrusted import Problem, content_of, files_of, parsed, shown

FOLDER, SIGNERS, NAMESPACE = "attestations", "allowed_signers", "brainbench"
LIMITS = {".json": 16_384, ".sig": 16_384}
Verdict = Literal["spot-checked", "reproduced", "disputed", "withdrawn"]
SELF_REPORTED = "self-reported"
_SIGNER = r"^[A-Za-z0-9][A-Za-z0-9._+@-]{0,99}$"


class Attestation(BaseModel):
    """One verdict on one entry's file. `largest_difference` is the largest of its scores from the recomputed ones."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    schema_version: Literal[1] = 1
    entry: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._+@-]{1,120}/[A-Za-z0-9._+-]{1,110}\.json$")]
    entry_sha256: Sha256
    verdict: Verdict
    signer: Annotated[str, StringConstraints(pattern=_SIGNER)]
    date: Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    reason: Paragraph = ""
    largest_difference: float | None = Field(default=None, ge=0)
    environment: dict[str, Line] = Field(default={}, max_length=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """The verdicts on an entry's file as it stands, oldest first."""

    verdicts: tuple[Attestation, ...] = ()

    @property
    def trust(self) -> str:
        """The last verdict; self-reported where there is none."""
        return self.verdicts[-1].verdict if self.verdicts else SELF_REPORTED


def read_all(root: Path, signers: Path | None = None) -> tuple[dict[str, Attested], list[Problem]]:
    """The verdicts of a leaderboard that hold, by entry (`<folder>/<benchmark>.json`), and what is wrong with others.

    A verdict holds where its signature is that of one of the allowed signers and the entry's file has the sha256 that
    it names. Raises AccessError where there are attestations and no ssh-keygen.
    """
    found: dict[str, list[tuple[str, int, Attestation]]] = {}
    problems: list[Problem] = []
    signers = signers or root / SIGNERS
    top = root / FOLDER
    folders = sorted(top.iterdir()) if top.is_dir() and not top.is_symlink() else []
    for folder in folders:
        files, wrong = files_of(folder, LIMITS)
        problems += [Problem(file=f"{FOLDER}/{p.file}", message=p.message) for p in wrong]
        for name, path in files.items():
            if name.endswith(".sig"):
                continue
            label = f"{FOLDER}/{folder.name}/{name}"
            try:
                attestation = _checked(path, files.get(f"{name}.sig"), signers, root)
            except InputError as error:
                problems.append(Problem(file=label, message=str(error)))
                continue
            number = int(name.split(".")[-2])
            found.setdefault(attestation.entry, []).append((attestation.date, number, attestation))
    ordered = {entry: sorted(several, key=lambda item: item[:2]) for entry, several in found.items()}
    return {entry: Attested(verdicts=tuple(a for *_, a in several)) for entry, several in ordered.items()}, problems


def _checked(path: Path, signature: Path | None, signers: Path, root: Path) -> Attestation:
    content = content_of(path, LIMITS[".json"])
    attestation: Attestation = parsed(_adapter, content, "the attestation")
    benchmark = attestation.entry.partition("/")[2].removesuffix(".json")
    if path.parent.name != attestation.entry.partition("/")[0] or not re.fullmatch(
        re.escape(benchmark) + r"\.\d{1,4}\.json", path.name
    ):
        raise InputError(f"is about {attestation.entry}, so it must be {attestation.entry[:-5]}.<number>.json")
    entry = root / "results" / attestation.entry
    if hashlib.sha256(content_of(entry)).hexdigest() != attestation.entry_sha256:
        raise InputError(f"entry_sha256: {attestation.entry} is not the file that was attested: it was changed since")
    if signature is None:
        raise InputError(f"has no signature: {path.name}.sig is missing")
    if not signers.is_file():
        raise InputError(f"signer: there is no {SIGNERS}, so nobody's signature counts")
    content_of(signature, LIMITS[".sig"])
    done = _ssh_keygen(
        "-Y",
        "verify",
        "-f",
        str(signers),
        "-I",
        attestation.signer,
        "-n",
        NAMESPACE,
        "-s",
        str(signature),
        given=content,
    )
    if done.returncode:
        raise InputError(f"signer: this is no signature of {shown(attestation.signer)} as {SIGNERS} knows that signer")
    return attestation


def attest(root: Path, entry: str, verdict: Verdict, *, key: Path, signer: str, reason: str = "", **found: Any) -> Path:
    """Writes and signs a verdict on `<folder>/<benchmark>.json` with the ssh key at `key`; gives its path.

    `found` are the other fields of an Attestation. Raises UsageError where `allowed_signers` does not know signer and
    key together, or a dispute has no reason; InputError where there is no such entry; AccessError without ssh-keygen.
    """
    if verdict in ("disputed", "withdrawn") and not reason:
        raise UsageError(f"an entry is {verdict} for a reason: give it with --reason")
    content = content_of(root / "results" / entry)
    folder, _, file = entry.partition("/")
    facts = {
        "entry": entry,
        "entry_sha256": hashlib.sha256(content).hexdigest(),
        "verdict": verdict,
        "signer": signer,
        "date": date.today().isoformat(),
        "reason": reason,
        **found,
    }
    text = json.dumps(Attestation.model_validate(facts).model_dump(mode="json"), indent=1) + "\n"
    where = root / FOLDER / folder
    where.mkdir(parents=True, exist_ok=True)
    number = 1 + sum(1 for _ in where.glob(f"{file.removesuffix('.json')}.*.json"))
    path = where / f"{file.removesuffix('.json')}.{number}.json"
    signature = path.with_name(f"{path.name}.sig")
    path.write_text(text, encoding="utf-8")
    done = _ssh_keygen("-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(path))
    try:
        if done.returncode:
            raise UsageError(f"ssh-keygen cannot sign with {key}: {done.stderr.decode(errors='replace').strip()}")
        _checked(path, signature, root / SIGNERS, root)
    except (InputError, UsageError) as error:
        path.unlink()
        signature.unlink(missing_ok=True)
        raise UsageError(f"nothing was attested: {error}") from None
    return path


def _ssh_keygen(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["ssh-keygen", *arguments], input=given, capture_output=True, timeout=60, check=False)
    except FileNotFoundError:
        raise AccessError(
            "attestations are signed and checked with ssh-keygen: install OpenSSH (8.1 or later)"
        ) from None


_adapter: TypeAdapter[Attestation] = TypeAdapter(Attestation)
