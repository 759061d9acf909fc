"""The words around the tables of scores: what a suite is called, what ± covers, what the mark means."""

from softprompt.reporting.analysis.report import Report
from softprompt.reporting.analysis.two_way import ALPHA, CONFIDENCE
from softprompt.reporting.rendering.lama_tables import probe_sentence
from softprompt.reporting.rendering.markdown import MAY_BE_BEST, counted, joined, whole_percent
from softprompt.reporting.rendering.undertuning import marks_in_words
from softprompt.tasks.load import LAMA, OFFICIAL_RELATIONS, nlu_names

TITLES = {"lama": "LAMA", "superglue": "SuperGLUE", "fewglue": "FewGLUE", "glue": "GLUE", "extra": "Example set"}
OFFICIAL_TASKS = {
    "lama": OFFICIAL_RELATIONS, "superglue": 8, "fewglue": 8, "glue": 9, "extra": len(nlu_names("extra")),
}  # fmt: skip
TASK_NAMES = {
    "boolq": "BoolQ", "cb": "CB", "copa": "COPA", "multirc": "MultiRC", "record": "ReCoRD", "rte": "RTE", "wic": "WiC",
    "wsc": "WSC", "mrpc": "MRPC", "sst2": "SST-2", "ner": "NER", "qa": "QA", "sentiment": "sentiment",
}  # fmt: skip


def suite_title(report: Report, suite: str) -> str:
    """The suite's name where all its official tasks are there, else which of them are: `BoolQ of SuperGLUE`."""
    tasks = report.collected.manifests[suite].headline_tasks
    if len(tasks) >= OFFICIAL_TASKS[suite]:
        return TITLES[suite]
    if suite == LAMA:
        return f"{counted(len(tasks), 'relation')} of {TITLES[suite]}"
    return f"{joined([TASK_NAMES.get(task, task) for task in tasks])} of {TITLES[suite]}"


def headline_caption(report: Report, suite: str) -> str:
    """How to read a table of means over tasks."""
    tasks = report.collected.manifests[suite].headline_tasks
    if suite == LAMA:
        what = f"P@1 in %, macro over {counted(len(tasks), 'relation')}"
        what += f" ({probe_sentence(report)})" if probe_sentence(report) else ""
        clusters = "relations" if len(tasks) > 1 else "facts"
    else:
        over = f", mean over {len(tasks)} tasks" if len(tasks) > 1 else ""
        what = f"Score in % (the mean of the metrics that form a task's score){over}"
        clusters = "examples, those of a passage together"
    return f"{what}. {interval_words(report, clusters)} {mark_words(report, 'column')}"


def interval_words(report: Report, clusters: str) -> str:
    """What ± is half of, and what it leaves out."""
    replicates = counted(len(report.context.seeds), "replicate")
    words = (
        f"±: half of the {whole_percent(CONFIDENCE)} interval over {replicates} and {clusters}; "
        "where nothing is drawn there is one replicate, and the interval is over the latter alone."
    )
    if len(report.context.seeds) == 1:
        words = f"±: half of the {whole_percent(CONFIDENCE)} interval over {clusters}; one replicate shows no spread."
    return words + tuning_words(report)


def tuning_words(report: Report) -> str:
    """A warning where replicates share a study."""
    if report.context.scheme == "replicate":
        return ""
    return " **It leaves tuning out: one study chose the settings of all replicates.**"


def mark_words(report: Report, line: str) -> str:
    """What the marks say, of a column or row."""
    words = (
        f"{MAY_BE_BEST}: may be the best of its {line}, frozen and tuned methods apart: no other one beats it "
        f"at {whole_percent(ALPHA)} for all pairs together."
    )
    if report.undertuned["undertuned"].any():
        words += f" {marks_in_words()} Where that is most of a {line}, nothing in it is called the best."
    return words
