"""The labels of intracranial hemorrhage, in the order of the RSNA 2019 challenge.

Law: every array with a label axis in this package uses this order.
"""

LABELS: tuple[str, ...] = (
    "any",
    "epidural",
    "intraparenchymal",
    "intraventricular",
    "subarachnoid",
    "subdural",
)
TYPES: tuple[str, ...] = LABELS[1:]
"""The five kinds of bleed; a voxel mask codes them 1–5 (their index in LABELS), 0 is no bleed."""
