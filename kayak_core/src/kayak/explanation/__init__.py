"""`explain`: which document token each query token found, and what that added to the score."""

from kayak.explanation.alignment import Explanation, TokenAlignment
from kayak.explanation.explaining import explain

__all__ = ["Explanation", "TokenAlignment", "explain"]
