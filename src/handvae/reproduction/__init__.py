"""The papers' tables and figures, trained and measured again."""
