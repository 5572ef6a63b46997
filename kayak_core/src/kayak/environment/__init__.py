"""What is installed and what it can do: backends, help and the doctor."""

from kayak.environment.backends import available_backends, backend_info, mojo_bridge_info
from kayak.environment.doctor_report import doctor
from kayak.environment.folders import cache_folder
from kayak.environment.help_text import help

__all__ = ["available_backends", "backend_info", "cache_folder", "doctor", "help", "mojo_bridge_info"]
