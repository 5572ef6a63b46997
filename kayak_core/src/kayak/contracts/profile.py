"""Stage profiles: what one stage of a search touched and what it took."""

from __future__ import annotations

import attrs

LATE_INTERACTION_FAMILY = "late_interaction"
DOCUMENT_TEXT_FAMILY = "document_text"


@attrs.frozen
class StageArtifactMaterialization:
    """What a stage brought into memory for the candidate window.

    Attributes:
        family: "late_interaction" (token vectors) or "document_text".
        document_count: documents materialised.
        document_vector_count: their token vectors.
        document_text_count: their texts.
    """

    family: str
    document_count: int
    document_vector_count: int = 0
    document_text_count: int = 0


@attrs.frozen
class SearchStageProfile:
    """Counts and cost of one stage of one search.

    Attributes:
        stage_name: kind of the generator or operator that ran.
        input_hit_count: hits that entered; 0 for stage 1.
        output_hit_count: hits that left.
        query_vector_count: query vectors scored.
        document_count: documents that the stage looked at.
        document_vector_count: document vectors scored.
        document_text_count: document texts read.
        materialized_artifacts: what was brought into memory for the candidate window.
        elapsed_seconds: wall time of the stage, preparation included.
        bytes_read: bytes of vectors and texts that the stage read.
        executor: name of the backend that scored, or None where none did.
        preparation: what was built once for the whole index before the stage could run, or None.
        preparation_seconds: time that building it took; 0.0 where an earlier search had built it.
        notes: facts worth knowing, for example which filter operators were evaluated in the client.
        posting_count: entries of inverted lists read.
        vector_dtype: stored element type of the document vectors that the scores come from, or None where there were
            none or the stage cannot tell.
    """

    stage_name: str
    input_hit_count: int
    output_hit_count: int
    query_vector_count: int = 0
    document_count: int = 0
    document_vector_count: int = 0
    document_text_count: int = 0
    materialized_artifacts: tuple[StageArtifactMaterialization, ...] = ()
    elapsed_seconds: float = 0.0
    bytes_read: int = 0
    executor: str | None = None
    preparation: str | None = None
    preparation_seconds: float = 0.0
    notes: tuple[str, ...] = ()
    posting_count: int = 0
    vector_dtype: str | None = None
