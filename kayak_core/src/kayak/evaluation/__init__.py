"""What a plan costs and what it loses: evaluation, comparison, tuning, and the collections and runs that they read."""

from kayak.evaluation.comparing import compare_plans
from kayak.evaluation.comparison import PlanComparison
from kayak.evaluation.confidence import ConfidenceInterval
from kayak.evaluation.datasets import RetrievalDataset, read_beir, read_ir_dataset
from kayak.evaluation.evaluating import evaluate
from kayak.evaluation.results import EvaluationResult, LatencySummary, QueryMeasurement, StageRecall
from kayak.evaluation.scan_rates import ScanRate, ScanRates, measure_scan_rates
from kayak.evaluation.significance import SignificanceTest
from kayak.evaluation.trec import read_trec_qrels, read_trec_run, write_trec_run
from kayak.evaluation.tuning import tune_plan
from kayak.evaluation.tuning_result import HeldOutTrial, TuningPoint, TuningResult

__all__ = [
    "ConfidenceInterval",
    "EvaluationResult",
    "HeldOutTrial",
    "LatencySummary",
    "PlanComparison",
    "QueryMeasurement",
    "RetrievalDataset",
    "ScanRate",
    "ScanRates",
    "SignificanceTest",
    "StageRecall",
    "TuningPoint",
    "TuningResult",
    "compare_plans",
    "evaluate",
    "measure_scan_rates",
    "read_beir",
    "read_ir_dataset",
    "read_trec_qrels",
    "read_trec_run",
    "tune_plan",
    "write_trec_run",
]
