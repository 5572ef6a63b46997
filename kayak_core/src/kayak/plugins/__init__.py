"""Discovery of plugins, and the registries of what they provide."""

from kayak.plugins.kinds import (
    available_candidate_generator_kinds,
    available_encoder_kinds,
    available_stage_operator_kinds,
    available_store_kinds,
    executor_kinds,
    executor_preference,
    find_executor,
    open_candidate_generator,
    open_encoder,
    open_stage_operator,
    open_store,
    register_candidate_generator,
    register_encoder,
    register_executor,
    register_stage_operator,
    register_store,
    specs_of,
)
from kayak.plugins.manager import PluginInfo, list_plugins

__all__ = [
    "PluginInfo",
    "available_candidate_generator_kinds",
    "available_encoder_kinds",
    "available_stage_operator_kinds",
    "available_store_kinds",
    "executor_kinds",
    "executor_preference",
    "find_executor",
    "list_plugins",
    "open_candidate_generator",
    "open_encoder",
    "open_stage_operator",
    "open_store",
    "register_candidate_generator",
    "register_encoder",
    "register_executor",
    "register_stage_operator",
    "register_store",
    "specs_of",
]
