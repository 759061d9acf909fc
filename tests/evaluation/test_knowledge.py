"""Which facts a backbone knows, against the library's own forward pass, one text at a time."""

import shutil
from pathlib import Path

import pandas as pd
import torch

from softprompt.backbones.backbone import Backbone
from softprompt.data.prepared import load_split
from softprompt.evaluation.knowledge import known_facts, stated_facts
from softprompt.paths import Paths
from softprompt.tasks.load import load_task


def test_every_template_is_asked_of_every_fact(gpt2: Backbone, prepared: Path) -> None:
    facts = load_split(Paths(prepared.parents[1]).test_suite("lama"), "P36", "test")
    templates = load_task("lama", "P36", prepared).templates("manual", "causal")
    backbone = gpt2.tuned_copy()
    _learn(backbone, templates[0].text, facts.iloc[::2])
    known = known_facts(backbone, Paths(prepared.parents[1]), inference_tokens=512)
    known = known.query("relation == 'P36' and split == 'test'").set_index("template")
    for template in templates:
        correct = [_answer(backbone, template.text, fact) == fact["label"] for fact in facts.to_dict("records")]
        assert known.loc[template.id, "n"] == len(facts)
        assert known.loc[template.id, "p_at_1"] == sum(correct) / len(correct)
    assert 0 < known.loc[templates[0].id, "p_at_1"] < 1


def test_a_fact_is_asked_in_the_wording_that_states_it(gpt2: Backbone, prepared: Path, tmp_path: Path) -> None:
    suite = tmp_path / "lama"
    shutil.copytree(prepared / "lama", suite)
    templates = load_task("lama", "P36", prepared).templates("manual", "causal")[:2]
    facts = load_split(suite, "P36", "train")[["subject", "label"]]
    stated = pd.concat(
        [facts.iloc[:6].assign(template=templates[0].id), facts.iloc[3:].assign(template=templates[1].id)]
    )
    rows = stated.assign(text="", answers=[[] for _ in range(len(stated))], relation="P36")
    rows.to_json(suite / "text" / "facts.jsonl", orient="records", lines=True)
    backbone = gpt2.tuned_copy()
    _learn(backbone, templates[0].text, facts.iloc[::2])
    known = stated_facts(backbone, suite, inference_tokens=512).set_index("template")
    for template in templates:
        own = stated[stated["template"] == template.id]
        correct = [_answer(backbone, template.text, fact) == fact["label"] for fact in own.to_dict("records")]
        assert known.loc[template.id, "n"] == len(own)
        assert known.loc[template.id, "p_at_1"] == sum(correct) / len(correct)
    assert known["p_at_1"].max() > 0


def test_a_text_that_names_no_templates_tells_nothing_of_them(gpt2: Backbone, prepared: Path) -> None:
    assert stated_facts(gpt2, prepared / "lama", inference_tokens=512).empty


def _learn(backbone: Backbone, text: str, facts: pd.DataFrame) -> None:
    optimizer = torch.optim.AdamW(backbone.model.parameters(), lr=1e-2)
    for _ in range(40):
        for fact in facts.to_dict("records"):
            ids = torch.tensor([backbone.tokenizer.encode(f"{_before(text, fact)} {fact['label']}")])
            optimizer.zero_grad()
            backbone.model(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()


def _before(text: str, fact: dict[str, object]) -> str:
    return text.split(" {mask}")[0].replace("{subject}", str(fact["subject"]))


def _answer(backbone: Backbone, text: str, fact: dict[str, object]) -> str:
    ids = torch.tensor([backbone.tokenizer.encode(_before(text, fact))])
    return str(backbone.tokenizer.decode(backbone.model(input_ids=ids).logits[0, -1].argmax())).strip()
