"""What the stimuli of every dataset are held to: pictures that open and stay, and none on both sides of a split."""

from __future__ import annotations

import re
from typing import Any

from PIL import Image, ImageChops

from brainbench.checks._check import Violation, check
from brainbench.checks._facts import NEAR_BITS, NEAR_CORRELATION, facts, near_duplicates, picture
from brainbench.core.splits import check_leakage, grouped_folds, leakage_units
from brainbench.core.stimuli import StimulusSet
from brainbench.errors import listed

_OPENED_AGAIN = 200  # pictures, spread over the table


@check(
    "dataset",
    mend="Give stimuli() a StimulusSet: sha256 in lower-case hex, missing only where the release holds no picture.",
)
def check_stimulus_table_is_complete(dataset: Any) -> None:
    stimuli = facts(dataset).stimuli
    if not isinstance(stimuli, StimulusSet):
        raise Violation(f"stimuli() must return a StimulusSet, it returned a {type(stimuli).__name__}")
    table = stimuli.table
    if not len(table):
        raise Violation("the stimulus table has no row")
    declared = table["sha256"].dropna()
    wrong = [i for i, d in declared.items() if not (isinstance(d, str) and re.fullmatch(r"[0-9a-f]{64}", d))]
    if wrong:
        first = table["sha256"][wrong[0]]
        raise Violation(f"sha256 must be 64 hex digits; it is not for {listed(wrong)}, such as {first!r}")
    shown = [name for name in table.index[table["sha256"].isna()] if _opens(stimuli, name)]
    if shown:
        raise Violation(
            f"{len(shown)} stimuli have a picture but no sha256, so that no check sees them: {listed(shown)}"
        )
    if stimuli.size_deg is not None and not stimuli.size_deg > 0:
        raise Violation(f"size_deg must be None or positive, it is {stimuli.size_deg!r}")


def _opens(stimuli: StimulusSet, name: str) -> bool:
    """Whether there is a picture behind a row that declares none; however the adapter says no, it is a no."""
    try:
        return stimuli.open is not None and isinstance(stimuli.open(name), Image.Image)
    except Exception:
        return False


@check("dataset", mend="Make `open` give a PIL picture for every row; leave sha256 empty where none was released.")
def check_pictures_open(dataset: Any) -> None:
    broken = {name: found for name, found in facts(dataset).opened.items() if isinstance(found, Exception)}
    if broken:
        name, error = next(iter(broken.items()))
        raise Violation(
            f"{len(broken)} of {len(facts(dataset).opened)} pictures do not open: {listed(broken)}; "
            f"{name!r} raised {type(error).__name__}: {error}"
        )


@check(
    "dataset", mend="Compute ids and sha256 from the released files alone, and pictures without randomness or state."
)
def check_stimuli_are_the_same_again(dataset: Any) -> None:
    first, second = facts(dataset).stimuli, dataset.stimuli()
    if first.ids != second.ids:
        raise Violation("stimuli() gives other ids, or another order, the second time")
    if not first.table.equals(second.table):
        changed = [c for c in first.table if c not in second.table or not first.table[c].equals(second.table[c])]
        raise Violation(f"stimuli().table is another the second time, in {listed(changed) or 'its columns'}")
    pictures = facts(dataset).pictures
    names = list(pictures)[:: -(-len(pictures) // _OPENED_AGAIN) or 1]
    changed = [name for name in names if picture(second.image(name)).digest != pictures[name].digest]
    if changed:
        raise Violation(f"opened twice, {len(changed)} of {len(names)} pictures have other pixels: {listed(changed)}")


@check("dataset", mend="Hash each picture's own bytes, not its name or a common file: cache keys are made of sha256.")
def check_one_sha256_is_one_picture(dataset: Any) -> None:
    declared = facts(dataset).stimuli.table["sha256"]
    first: dict[str, str] = {}
    for name, shown in facts(dataset).pictures.items():
        other = first.setdefault(declared[name], name)
        if facts(dataset).pictures[other].digest != shown.digest:
            raise Violation(f"{other!r} and {name!r} have the same sha256 and different pixels")


@check("dataset", mend="Give stimuli that show the same picture one sha256, or one `group`.")
def check_identical_pictures_stay_together(dataset: Any) -> None:
    units = leakage_units(facts(dataset).stimuli.table)
    first: dict[str, str] = {}
    torn = []
    for name, shown in facts(dataset).pictures.items():
        other = first.setdefault(shown.digest, name)
        if units[other] != units[name]:
            torn.append(f"{other} ~ {name}")
    if torn:
        raise Violation(
            f"{len(torn)} stimuli have the very pixels of another but neither its sha256 nor its group, so that one "
            f"can be trained on and the other tested: {listed(torn)}"
        )


@check(
    "dataset", mend="Give near-duplicates one `group` in the stimulus table: frames of a movie, versions of a picture."
)
def check_near_duplicates_stay_together(dataset: Any) -> None:
    units = leakage_units(facts(dataset).stimuli.table)
    pairs = near_duplicates(facts(dataset).pictures)
    torn = pairs[units.reindex(pairs["first"]).to_numpy() != units.reindex(pairs["second"]).to_numpy()]
    if len(torn):
        shown = [f"{first} ~ {second}" for first, second in zip(torn["first"], torn["second"])]
        raise Violation(
            f"{len(torn)} pairs of near-duplicates (dHash within {NEAR_BITS} of 64 bits, thumbnails r >= "
            f"{NEAR_CORRELATION}) can stand on both sides of a split: {listed(shown)}"
        )


@check("dataset", mend="Let `group` join only what is nearly the same; two groups, or stimuli without any, are needed.")
def check_folds_do_not_leak(dataset: Any) -> None:
    table = facts(dataset).stimuli.table
    n_units = leakage_units(table).nunique()
    if n_units < 2:
        raise Violation(f"sha256 and group make one unit of all {len(table)} stimuli, so no split can be made of them")
    split = grouped_folds(table, n_folds=min(5, n_units), seed=0)
    check_leakage(split, table)
    tested = sorted(name for fold in split.folds for name in fold.test)
    if tested != sorted(table.index):
        raise Violation(f"folds test {len(tested)} stimuli of {len(table)}, not each one once")


@check("dataset", mend="Return a copy of the table, and a picture of its own from every call of `open`.")
def check_callers_cannot_change_the_stimuli(dataset: Any) -> None:
    table = dataset.stimuli().table
    declared, written = table["sha256"].copy(), "0" * 64
    table["sha256"] = written
    changed = (dataset.stimuli().table["sha256"] == written).any()
    table["sha256"] = declared
    if changed:
        raise Violation("who writes into stimuli().table changes the table that is returned next")
    for name in list(facts(dataset).pictures)[:1]:
        image = dataset.stimuli().image(name)
        pixels = image.copy()
        image.paste(ImageChops.invert(pixels.convert("RGB")).convert(pixels.mode))
        changed = picture(dataset.stimuli().image(name)).digest == picture(image).digest
        image.paste(pixels)
        if changed:
            raise Violation(f"who paints over a picture changes what {name!r} shows next")
