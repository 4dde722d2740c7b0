"""Which operations a network consists of and how far the moments of each can be trusted."""

from handvae.rv.explain.table import Explanation, LayerRow, explain

__all__ = ["Explanation", "LayerRow", "explain"]
