"""Names of the first edition in parquet shards; `training/first_edition.py` has all others."""

COLUMNS = {"parts": "segmentation", "tag_parts": "tag_segmentation"}
"""What the first edition called a column or modality, and what it is called now."""
