"""More labelled pictures of a set: poses, appearances, the check by a detector, the report."""
