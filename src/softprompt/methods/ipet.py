"""iPET: PET in generations. The models of each label texts for those of the next, which so learn from more and more.

Schick and Schütze 2021, https://arxiv.org/abs/2001.07676, section 3.4; timoschick/pet, pet/modeling.py
(generate_ipet_train_set). Every model of a later generation starts from the pretrained backbone again and learns from
the labelled rows and from texts that a random quarter of the other models labelled. These are drawn by how sure their
labellers were, so many of each label that its share in train stays; the labelled set grows fivefold a generation. The
last generation teaches the classifier, as in `pet`.

Changed: as in `pet`; all generations share the half of the step budget that is the pairs'. A quarter is one model at
least (the original has three models a pair), a lone pair labels for itself. A label that is predicted too rarely gives
the texts it has, where the original repeats them.
"""

import pandas as pd
import torch

from softprompt.config import Positive
from softprompt.inputs.task_data import TaskData
from softprompt.methods.base import METHODS
from softprompt.methods.shared.pattern_ensembles import PatternEnsemble, PatternEnsembleSettings
from softprompt.seeding import torch_generator
from softprompt.training.loop import FleetWork
from softprompt.training.member import Trained
from softprompt.training.patterns import Ensemble, Votes, distil, soft_labels

LABELLERS = 0.25  # share of the other models that label texts for a model
GROWTH = 5  # of the labelled set, a generation


class IPetSettings(PatternEnsembleSettings):
    generations: Positive = 3  # the first one, which learns from labelled rows alone, counted


@METHODS.register("ipet")
class IPet(PatternEnsemble):
    settings_model = IPetSettings
    settings: IPetSettings

    def train(self, work: FleetWork) -> list[Trained]:
        """The generations, then the classifier."""
        ensemble = Ensemble(work, self.settings.generations)
        data, everyone = ensemble.data, range(len(ensemble.pairs))
        draw = torch_generator(ensemble.member.identity, "generations")
        votes = ensemble.votes([data.train for _ in everyone], generation=0)
        for generation in range(1, self.settings.generations):
            if ensemble.failures:
                break
            labelled = [
                pd.concat([data.train, labelled_texts(votes, model, ensemble.texts, data, generation, draw)])
                for model in everyone
            ]
            votes = ensemble.votes(labelled, generation)
        return distil(ensemble, votes.joint(everyone), self.settings.temperature)


def labelled_texts(
    votes: Votes, model: int, texts: pd.DataFrame, data: TaskData, generation: int, draw: torch.Generator
) -> pd.DataFrame:
    """Texts with the labels that some of the other models give them, for one model of a generation after the first."""
    shares = soft_labels(votes.joint(labellers(len(votes.weights), model, draw)), temperature=1.0)  # (N, C)
    sureness, label = shares.max(dim=1)
    rows: list[int] = []
    for index, name in enumerate(data.task.labels):
        wanted = int((data.train["label"] == name).sum()) * (GROWTH**generation - 1)
        (found,) = torch.nonzero(label == index, as_tuple=True)
        count = min(wanted, len(found))
        if count:
            rows += found[torch.multinomial(sureness[found], count, generator=draw)].tolist()
    return texts.iloc[rows].assign(label=[data.task.labels[int(label[row])] for row in rows])


def labellers(models: int, model: int, draw: torch.Generator) -> list[int]:
    """A random quarter of the other models, one at least; the model itself where it is the only one."""
    others = [other for other in range(models) if other != model] or [model]
    order = torch.randperm(len(others), generator=draw).tolist()
    return [others[index] for index in order[: max(1, round(LABELLERS * len(others)))]]
