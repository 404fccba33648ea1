"""One table from the names that releases give their regions to areas that can be compared across them.

A name stands in the table once for all releases, unless two of them mean different things by it. Areas are in the order
of the visual hierarchy, first people and macaques, then mice; regions of no single area, such as a stream, are "".
"""

from __future__ import annotations

AREAS = (
    *("V1", "V2", "V3", "V4", "V3A/B", "LO", "VO", "PHC", "MT", "STS"),
    *("EBA", "FBA", "OFA", "FFA", "OPA", "PPA", "RSC", "VWFA", "IT"),
    *("VISp", "VISl", "VISal", "VISpm", "VISam", "VISrl"),
)
NAMES = {
    "V1": ("V1", "V1v", "V1d"),
    "V2": ("V2", "V2v", "V2d"),
    "V3": ("V3", "V3v", "V3d"),
    "V4": ("V4", "hV4", "V4-single"),
    "V3A/B": ("V3a", "V3b"),
    "LO": ("LO1 (prf)", "LO2 (prf)", "LOC", "lLOC", "rLOC"),
    "VO": ("VO1", "VO2"),
    "PHC": ("PHC1", "PHC2"),
    "MT": ("TO1", "TO2", "hMT"),
    "STS": ("lSTS", "rSTS"),
    "EBA": ("EBA", "lEBA", "rEBA"),
    "FBA": ("FBA-1", "FBA-2"),
    "OFA": ("OFA", "lOFA", "rOFA"),
    "FFA": ("FFA", "FFA-1", "FFA-2", "lFFA", "rFFA"),
    "OPA": ("OPA", "lTOS", "rTOS"),
    "PPA": ("PPA", "lPPA", "rPPA"),
    "RSC": ("RSC", "lRSC", "rRSC"),
    "VWFA": ("VWFA-1", "VWFA-2"),
    "IT": ("IT", "IT-single", "humanIT", "monkeyIT"),
    "VISp": ("VISp",),
    "VISl": ("VISl",),
    "VISal": ("VISal",),
    "VISpm": ("VISpm",),
    "VISam": ("VISam",),
    "VISrl": ("VISrl",),
    "": (
        *("early", "midventral", "midlateral", "midparietal", "ventral", "lateral", "parietal", "nsdgeneral"),
        *("mTL-bodies", "mTL-faces", "aTL-faces", "OWFA", "mfs-words", "mTL-words", "EarlyVis"),
        *("occipital", "temporal", "frontal", "central"),  # groups of sensors
        *("mask4_vt", "mask8_face_vt", "mask8_house_vt", "mask8b_face_vt", "mask8b_house_vt"),
        *("brain", "gray", "white", "vt", "slice", "judges", "sensors"),
    ),
}
# what a release means by a name that others use for something else
OWN = {("stringer2019", "V1"): "VISp"}

_AREA = {name: area for area, names in NAMES.items() for name in names}


def area_of(dataset: str, region: str) -> str:
    """The common area of a release's region, "" where it is of none, or nobody has said of which."""
    return OWN.get((dataset, region), _AREA.get(region, ""))


def areas_of(dataset: str, regions: tuple[str, ...]) -> list[str]:
    """The common areas of a release's regions, each once, in the order of the hierarchy."""
    found = {area_of(dataset, region) for region in regions}
    return [area for area in AREAS if area in found]
