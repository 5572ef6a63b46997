"""The Kayak encoder `colbert`: ColBERT checkpoints and models as late-interaction objects.

Kayak finds it by its entry point: `kayak.open_encoder("colbert", model_name="colbert-ir/colbertv2.0")`.
"""

from kayak_colbert.encoder import ColbertEncoder as ColbertEncoder

__version__ = "1.0.0"
__all__ = ["ColbertEncoder"]
