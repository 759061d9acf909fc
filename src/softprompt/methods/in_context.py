"""In-context learning: solved examples in front of the question, nothing trained.

Brown et al. 2020, "Language Models are Few-Shot Learners", https://arxiv.org/abs/2005.14165, section 2.

Changed: at most `examples` of them, a number that is searched, drawn from train at random by the cell's seed, as many
as fit beside the longest train row; those that do not fit are passed over. A cell's setting `examples_shown` says how
many it shows. The wording is the task's standard manual template; without examples it is `manual`.
"""

from softprompt.methods.base import METHODS
from softprompt.methods.shared.solved_examples import SolvedExamples


@METHODS.register("in_context")
class InContext(SolvedExamples):
    """All of it is in the family."""
