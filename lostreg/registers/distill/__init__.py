"""Self-distilled registers: PH-Reg (Chen et al., NeurIPS 2025, arXiv 2505.21501)."""

from lostreg.registers.distill.run import Distillation, distill
from lostreg.registers.distill.settings import DistillSettings

__all__ = ["DistillSettings", "Distillation", "distill"]
