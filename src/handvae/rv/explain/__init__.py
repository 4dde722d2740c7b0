"""Which operations a network consists of and how far the moments of each can be trusted."""

from handvae.rv.explain.table import Explanation, Row, explain

__all__ = ["Explanation", "Row", "explain"]
