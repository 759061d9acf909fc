"""PET: one model a pattern-verbalizer pair, whose joint soft labels on unlabelled texts teach a classifier.

Schick and Schütze 2021, "Exploiting Cloze Questions for Few-Shot Text Classification and Natural Language Inference",
https://arxiv.org/abs/2001.07676, section 3, and "It's Not Just Size That Matters", https://arxiv.org/abs/2009.07118,
for the pairs of SuperGLUE; timoschick/pet. Every pair trains a copy of the backbone on the labelled rows, cross-entropy
over the words of the labels. The mean of their logits, weighted by each pair's accuracy before training, gives soft
labels at temperature 2; a classifier on all weights of the backbone learns those and is what is kept.

Changed: one model a pair instead of three. The common step budget is divided, half over the pairs and half for the
classifier, instead of 250 steps a model and 5,000 for the classifier. The state of the classifier with the best dev
score is kept, where the original keeps the last. Without unlabelled texts (SuperGLUE), those of train are labelled
anew. Causal and T5 backbones are asked too; causal ones read few of PET's pairs, and get the other manual templates.

Left out: the auxiliary language-model loss, which the runs on SuperGLUE do without; COPA, WSC and ReCoRD, which PET
asks without distillation (here `manual_fine_tuning`).
"""

from softprompt.methods.base import METHODS
from softprompt.methods.shared.pattern_ensembles import PatternEnsemble, PatternEnsembleSettings
from softprompt.training.loop import FleetWork
from softprompt.training.member import Trained
from softprompt.training.patterns import Ensemble, distil


@METHODS.register("pet")
class Pet(PatternEnsemble):
    settings_model = PatternEnsembleSettings
    settings: PatternEnsembleSettings

    def train(self, work: FleetWork) -> list[Trained]:
        """The pairs, then the classifier."""
        ensemble = Ensemble(work, generations=1)
        everyone = range(len(ensemble.pairs))
        votes = ensemble.votes([ensemble.data.train for _ in everyone], generation=0)
        return distil(ensemble, votes.joint(everyone), self.settings.temperature)
