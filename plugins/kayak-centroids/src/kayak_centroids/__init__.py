"""Centroid interaction for Kayak: candidates from inverted lists of token centroids, and windows of residual codes.

Kayak finds the generator and the operator by their entry point. This module imports nothing heavy before a name is
used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kayak_centroids.generator import CentroidInteraction as CentroidInteraction
    from kayak_centroids.plans import (
        centroid_interaction_candidate_generator as centroid_interaction_candidate_generator,
    )
    from kayak_centroids.plans import (
        centroid_postings_candidate_generator as centroid_postings_candidate_generator,
    )
    from kayak_centroids.plans import centroid_postings_plan as centroid_postings_plan
    from kayak_centroids.plans import centroid_search_plan as centroid_search_plan
    from kayak_centroids.plans import prepare_centroids as prepare_centroids
    from kayak_centroids.postings_generator import CentroidPostings as CentroidPostings
    from kayak_centroids.report import CentroidReport as CentroidReport
    from kayak_centroids.residual_maxsim import ResidualMaxsim as ResidualMaxsim
    from kayak_centroids.storing import store_centroids as store_centroids
    from kayak_centroids.storing_codes import CodesReport as CodesReport
    from kayak_centroids.storing_codes import prepare_codes as prepare_codes
    from kayak_centroids.storing_codes import store_codes as store_codes
    from kayak_centroids.structure import default_centroid_count as default_centroid_count

__version__ = "1.0.0"

_HOME_OF = {
    "CentroidInteraction": "generator",
    "CentroidPostings": "postings_generator",
    "CentroidReport": "report",
    "CodesReport": "storing_codes",
    "ResidualMaxsim": "residual_maxsim",
    "centroid_interaction_candidate_generator": "plans",
    "centroid_postings_candidate_generator": "plans",
    "centroid_postings_plan": "plans",
    "centroid_search_plan": "plans",
    "default_centroid_count": "structure",
    "prepare_centroids": "plans",
    "prepare_codes": "storing_codes",
    "store_centroids": "storing",
    "store_codes": "storing_codes",
}

__all__ = ["__version__", *_HOME_OF]  # noqa: PLE0604 - the names of the table above

if not TYPE_CHECKING:  # a visible __getattr__ would make type checkers accept any name

    def __getattr__(name: str) -> object:
        import importlib

        if name in _HOME_OF:
            return getattr(importlib.import_module(f"kayak_centroids.{_HOME_OF[name]}"), name)
        raise AttributeError(f"module 'kayak_centroids' has no attribute {name!r}", name=name, obj=None)
